package main

import (
	"context"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"scout/cmd/internal/debughttp"
	"scout/cmd/internal/logging"
	"scout/cmd/internal/memory"
	"scout/cmd/internal/systemd"
	"scout/cmd/internal/version"
	"scout/internal/access"
	"scout/internal/files"
	"scout/internal/metrics"
	"scout/internal/stream"
	"scout/internal/watch"
)

// run is the scout, until ctx is cancelled: a claimed directory, a watcher that
// knows what is in it, and a session that tells the master.
func run(ctx context.Context, c config, status *logging.Status, log *zap.Logger) error {
	memory.Tune(log)
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
	measured, err := debughttp.Listen(ctx, "metrics", c.metrics, debughttp.Metrics(counts.Handler(logging.Library(log, "metrics"))), log)
	if err != nil {
		return err
	}
	profiles, err := debughttp.Listen(ctx, "pprof", c.pprof, debughttp.Profiles(), log)
	if err != nil {
		return err
	}
	service := &systemd.Service{Log: log}
	session := &stream.Scout{
		Origin: origin, Version: version.String(), Directory: watcher, Master: c.master, Log: log, Recorder: counts, Pulse: service.Beat,
		Dial: func() (*grpc.ClientConn, error) { return dial(c.master, c.access) },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return session.Run(ctx) })
	group.Go(func() error { showScan(ctx, watcher.View, status.Show); return nil })
	group.Go(func() error { return service.Run(ctx) })
	group.Go(func() error { return measured.Run(ctx) })
	group.Go(func() error { return profiles.Run(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// dial uses the credentials that are in their files at the time.
func dial(master string, c access.Credentials) (*grpc.ClientConn, error) {
	options, err := c.DialOptions()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(master, append(stream.DialOptions(), options...)...)
}
