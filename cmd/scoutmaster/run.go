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
)

// finishTime is how long a stop may take, out of the 5 s that are promised:
// first requests in flight may finish, then whatever is left is cut off.
const finishTime = 4 * time.Second

// parts are what both sides of a scoutmaster, that of the scouts and that of the
// consumers, have in common.
type parts struct {
	config   config
	log      *zap.Logger
	gate     *access.Gate
	room     capacity
	list     *listing.Listing
	registry *master.Registry
	counts   *metrics.Scoutmaster
}

// run is the scoutmaster, until ctx is cancelled.
func run(ctx context.Context, c config, log *zap.Logger) error {
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
		config: c, log: log, gate: gate, room: newCapacity(openFiles()),
		list: list, registry: master.NewRegistry(list, log), counts: counts,
	}
	counts.Scouts(p.registry.StateCounts, func() int { return list.Current().Len })
	scouts, err := newScoutSide(ctx, p)
	if err != nil {
		return err
	}
	consumers, err := newConsumerSide(ctx, p)
	if err != nil {
		scouts.listener.Close() //nolint:errcheck // nobody has come
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
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// stopWithin calls stop, and cut if that takes too long.
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
