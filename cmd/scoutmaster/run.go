package main

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/debughttp"
	"scout/cmd/internal/memory"
	"scout/cmd/internal/netflags"
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
	grpc     net.Listener
	http     net.Listener
	list     *listing.Listing
	registry *master.Registry
	shared   bool // with other scoutmasters
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
	profiles, err := debughttp.Listen(ctx, "pprof", c.pprof, debughttp.Profiles(), debughttp.Protection{}, log)
	if err != nil {
		return err
	}
	p := parts{
		config: c, log: log, gate: gate, capacity: newCapacity(openFiles()),
		list: listing.New(), counts: metrics.NewScoutmaster(version.String()),
	}
	if p.grpc, err = netflags.Listen(ctx, "grpc", c.grpc); err != nil {
		return err
	}
	defer p.grpc.Close() //nolint:errcheck // it is closed unless the start has failed
	if p.http, err = netflags.Listen(ctx, "http", c.http); err != nil {
		return err
	}
	defer p.http.Close() //nolint:errcheck // likewise
	runners, place := []runner{p.list, profiles, gate}, []zap.Field(nil)
	replicas := func() int { return 0 }
	if len(c.nats) > 0 {
		fleet, err := newFleetSide(ctx, p)
		if err != nil {
			return ignoreIfTold(ctx, err)
		}
		fleet.warnOfOneCopy(ctx, log)
		p.registry, p.shared = fleet.registry, true
		runners = append(runners, fleet)
		replicas = func() int { return int(fleet.replicas.Load()) }
		place = []zap.Field{zap.String("fleet", c.fleet), zap.String("name", fleet.name)}
	} else {
		p.registry = master.NewRegistry(p.list, log)
	}
	p.counts.Read(p.registry.Counts, replicas)
	service := &systemd.Service{Check: func() { p.registry.Counts() }, Log: log}
	consumers := newHTTPServer(p)
	runners = append(runners, service, newGRPCServer(p), consumers)
	log.With(place...).Info("serving", zap.Stringer("grpc", p.grpc.Addr()), zap.Stringer("http", p.http.Addr()),
		zap.Duration("heartbeat", c.heartbeat), zap.Duration("deadline", c.deadline), zap.String("version", version.String()))
	service.Beat()
	return p.run(ctx, runners, consumers.announceStop, reload)
}

// runner is a part of the scoutmaster that runs until ctx is done.
type runner interface {
	Run(ctx context.Context) error
}

// run runs all parts until told is done. Consumers are told first, who must not see
// the scouts go, then the other scoutmasters, before any part ends.
func (p *parts) run(told context.Context, runners []runner, announceStop func(), reload wake.Signal) error {
	working, end := context.WithCancel(context.WithoutCancel(told))
	defer end()
	group, ctx := errgroup.WithContext(working)
	for _, part := range runners {
		group.Go(func() error { return part.Run(ctx) })
	}
	group.Go(func() error { return memory.Adapt(ctx) })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-told.Done():
				announceStop()
				leave(p.registry, p.log)
				end()
				return nil
			case <-reload:
				p.gate.Reload()
			}
		}
	})
	if err := group.Wait(); err != nil {
		return err
	}
	p.log.Info("stopped")
	return nil
}

// stopWithin calls stop, and then cut if stop does not return within limit.
func stopWithin(limit time.Duration, stop, cut func()) {
	timer := time.AfterFunc(limit, cut)
	defer timer.Stop()
	stop()
}

// ignoreIfTold returns nil if the program was told to stop, which may be why.
func ignoreIfTold(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it has to end, and does
	}
	return err
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
