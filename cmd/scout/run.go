package main

import (
	"context"
	"errors"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/debughttp"
	"scout/cmd/internal/logging"
	"scout/cmd/internal/memory"
	"scout/cmd/internal/systemd"
	"scout/cmd/internal/version"
	"scout/internal/access"
	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/metrics"
	"scout/internal/stream"
	"scout/internal/wake"
	"scout/internal/watch"
)

// run runs the scout until ctx is done: it claims the directory, watches it, and
// reports its files to the scoutmaster. Each signal of reload reads the credentials of
// -metrics again; those for the scoutmaster are read for each connection.
func run(ctx context.Context, c config, reload wake.Signal, status *logging.Status, log *zap.Logger) error {
	memory.Tune(log)
	readAll()
	claim, err := watch.Claim(c.dir)
	if err != nil {
		return err
	}
	defer claim.Release()
	origin := files.Origin{Host: c.host, Directory: claim.Dir()}
	log = log.With(zap.String("host", origin.Host), zap.String("directory", origin.Directory))
	log.Info("directory claimed", zap.String("version", version.String()))

	watcher, err := watch.New(claim, watch.Options{
		Poll: c.poll, Recursive: c.recursive, Exclude: c.exclude, Notify: true, Log: log,
	})
	if err != nil {
		return err
	}
	counts := metrics.NewScout(version.String(), watcher.View)
	gate, err := access.NewGate(c.metricsFiles, log)
	if err != nil {
		return err
	}
	health := debughttp.Health{Alive: func() error { return alive(watcher) }, Ready: func() error { return ready(counts, watcher.View()) }}
	measured, profiles, err := c.listen(ctx, counts, health, gate, log)
	if err != nil {
		return err
	}
	service := &systemd.Service{Log: log}
	pulse := func() { // of both: the session calls it
		if watcher.Alive() {
			service.Beat()
		}
	}
	session := &stream.Scout{
		Origin: origin, Version: version.String(), Directory: watcher, Log: log, Recorder: counts, Pulse: pulse,
		Dialer:      &dial.Dialer{Masters: c.masters, Spread: origin.Host + origin.Directory},
		Credentials: c.access.DialOptions, // reads the files each time
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return session.Run(ctx) })
	group.Go(func() error {
		showScan(ctx, watcher.View, status.Show)
		memory.Settle()
		return nil
	})
	group.Go(func() error { return service.Run(ctx) })
	group.Go(func() error { return gate.Run(ctx) })
	group.Go(func() error {
		reloadWhenTold(ctx, reload, gate)
		return nil
	})
	group.Go(func() error { return measured.Run(ctx) })
	group.Go(func() error { return profiles.Run(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// listen opens the listeners of -metrics and -pprof, as far as they were asked for.
func (c *config) listen(ctx context.Context, counts *metrics.Scout, health debughttp.Health, gate *access.Gate, log *zap.Logger) (measured, profiles *debughttp.Server, err error) {
	protection := debughttp.Protection{TLS: gate.ConsumerTLS(), Tokens: c.metricsFiles.HTTPTokens != "", Check: gate.Consumer}
	handler := debughttp.Metrics(counts.Handler(logging.Library(log, "metrics")), health)
	if measured, err = debughttp.Listen(ctx, "metrics", c.metrics, handler, protection, log); err != nil {
		return nil, nil, err
	}
	profiles, err = debughttp.Listen(ctx, "pprof", c.pprof, debughttp.Profiles(), debughttp.Protection{}, log)
	return measured, profiles, err
}

// reloadWhenTold reads the credentials of -metrics again at each signal.
func reloadWhenTold(ctx context.Context, reload wake.Signal, gate *access.Gate) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			gate.Reload()
		}
	}
}

// alive returns an error if the watcher is stuck.
func alive(w interface{ Alive() bool }) error {
	if w.Alive() {
		return nil
	}
	return errors.New("the scout is stuck")
}

// ready returns an error unless the scout is registered and shows its directory.
func ready(counts *metrics.Scout, v files.View) error {
	switch {
	case !counts.IsRegistered():
		return errors.New("the scout is not registered at a scoutmaster")
	case v.Set == nil:
		return errors.New(v.Reason)
	}
	return nil
}

// probe asks the scout that runs with the same flags whether it is ready.
func (c *config) probe(ctx context.Context) error {
	return debughttp.Probe(ctx, "metrics", c.metrics, c.metricsFiles.Cert != "")
}
