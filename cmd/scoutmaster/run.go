package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/debughttp"
	"scout/cmd/internal/memory"
	"scout/cmd/internal/systemd"
	"scout/cmd/internal/version"
	"scout/internal/access"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/metrics"
	"scout/internal/wake"
)

// finishTime is how long requests in flight may take to finish when the
// scoutmaster stops, of the 5 s that it may take to stop. The rest is cut off.
const finishTime = 4 * time.Second

// parts are what the scouts' side and the consumers' side of a scoutmaster have
// in common.
type parts struct {
	config   config
	log      *zap.Logger
	gate     *access.Gate
	capacity capacity
	list     *listing.Listing
	registry *master.Registry
	counts   *metrics.Scoutmaster
}

// run runs the scoutmaster until ctx is done. Each signal of reload reads the
// credentials again.
func run(ctx context.Context, c config, reload wake.Signal, log *zap.Logger) error {
	memory.Tune(log)
	gate, err := access.NewGate(c.files, log)
	if err != nil {
		return err
	}
	profiles, err := debughttp.Listen(ctx, "pprof", c.pprof, debughttp.Profiles(), log)
	if err != nil {
		return err
	}
	list, counts := listing.New(), metrics.NewScoutmaster(version.String())
	p := parts{
		config: c, log: log, gate: gate, capacity: newCapacity(openFiles()),
		list: list, registry: master.NewRegistry(list, log), counts: counts,
	}
	counts.Scouts(p.registry.StateCounts, func() int { return list.Current().Len })
	scouts, err := newScoutSide(ctx, p)
	if err != nil {
		return err
	}
	consumers, err := newConsumerSide(ctx, p)
	if err != nil {
		scouts.listener.Close() //nolint:errcheck // nobody is connected yet
		return err
	}
	log.Info("serving", zap.Stringer("grpc", scouts.listener.Addr()), zap.Stringer("http", consumers.listener.Addr()),
		zap.Duration("heartbeat", c.heartbeat), zap.Duration("deadline", c.deadline), zap.String("version", version.String()))
	service := &systemd.Service{Check: func() { p.registry.StateCounts() }, Log: log}
	service.Beat()
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []interface{ Run(context.Context) error }{service, list, profiles, gate, scouts, consumers} {
		group.Go(func() error { return part.Run(ctx) })
	}
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-reload:
				gate.Reload()
			}
		}
	})
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// stopWithin calls stop, and then cut if stop does not return within limit.
func stopWithin(limit time.Duration, stop, cut func()) {
	timer := time.AfterFunc(limit, cut)
	defer timer.Stop()
	stop()
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
