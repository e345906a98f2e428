package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/sidedoor"
	"scout/cmd/internal/supervise"
	"scout/internal/access"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/metrics"
	"scout/internal/stream"
	"scout/internal/web"
	scoutv1 "scout/proto/scout/v1"
)

// How long a stop may take, out of the 5 s that are promised: first requests
// in flight may finish, then whatever is left is cut off.
const (
	finishTime = 4 * time.Second
	idleTime   = 2 * time.Minute
)

// run is the scoutmaster, until ctx is cancelled.
func run(ctx context.Context, c config, log *zap.Logger) error {
	gate, err := access.NewGate(c.files, log)
	if err != nil {
		return err
	}
	grpcListener, err := cli.Listen(ctx, "grpc", c.grpc)
	if err != nil {
		return err
	}
	defer grpcListener.Close() //nolint:errcheck // its server has closed it, unless -http failed
	httpListener, err := cli.Listen(ctx, "http", c.http)
	if err != nil {
		return err
	}

	profiles, err := sidedoor.Open(ctx, "pprof", c.pprof, sidedoor.Profiles(), log)
	if err != nil {
		return err
	}

	room := newCapacity(openFiles())
	scoutListener := access.PerAddress(grpcListener, c.limits.connections, log)
	consumerListener := access.PerAddress(httpListener, c.limits.connections, log)
	grpcListener = bound(scoutListener, room.grpc, log.With(zap.String("listener", "grpc")))
	httpListener = bound(consumerListener, room.http, log.With(zap.String("listener", "http")))
	list := listing.New()
	registry := master.NewRegistry(list, log)
	counts := metrics.NewScoutmaster(cli.Version())
	counts.Fleet(registry.Census, func() int { return list.Current().Len })
	sessions := stream.NewServer(registry, stream.Config{
		Heartbeat: c.heartbeat, Deadline: c.deadline, Limits: c.limits.held, Guard: gate, Room: memoryRoom, Log: log, Recorder: counts,
	})
	scouts := newScoutServer(sessions, c.reflection, slices.Concat(
		stream.ServerOptions(), scoutListener.ServerOptions(), c.limits.options(), []grpc.ServerOption{grpc.Creds(gate.ScoutCredentials())})...)
	ready := new(readiness)
	handler := web.NewHandler(list, registry, ready.check, web.Options{Watchers: c.watchers}, log)
	handler.Also("/metrics", counts.Handler(cli.Library(log, "metrics")))
	door := web.Door{Room: consumerListener.Refuse, Check: gate.Consumer, MaxQuery: c.limits.query}
	consumers := &http.Server{
		Handler:           web.Observe(door.Guard(handler), counts),
		ReadHeaderTimeout: c.limits.headerTimeout,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    c.limits.header,
		TLSConfig:         gate.ConsumerTLS(),
		ErrorLog:          zap.NewStdLog(cli.Library(log, "http")),
	}
	consumers.RegisterOnShutdown(handler.EndWatching)

	log.Info("serving", zap.Stringer("grpc", grpcListener.Addr()), zap.Stringer("http", httpListener.Addr()),
		zap.Duration("heartbeat", c.heartbeat), zap.Duration("deadline", c.deadline), zap.String("version", cli.Version()))
	service := &supervise.Service{Check: func() { registry.Census() }, Log: log}
	service.Beat()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return service.Run(ctx) })
	group.Go(func() error { return list.Run(ctx) })
	group.Go(func() error { return profiles.Run(ctx) })
	group.Go(func() error { return sessions.Run(ctx) })
	group.Go(func() error { return gate.Run(ctx) })
	group.Go(func() error { return scouts.server.Serve(grpcListener) })
	group.Go(func() error { return ignore(serve(consumers, httpListener), http.ErrServerClosed) })
	group.Go(func() error {
		<-ctx.Done()
		ready.stopping.Store(true)
		scouts.health.Shutdown()
		stopWithin(finishTime, scouts.server.GracefulStop, func() {
			scoutListener.Cut()
			scouts.server.Stop()
		})
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return finish(consumers, log)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// scoutServer is the gRPC side: sessions and the master's own health.
type scoutServer struct {
	server *grpc.Server
	health *health.Server
}

func newScoutServer(sessions *stream.Server, reflect bool, options ...grpc.ServerOption) scoutServer {
	s := scoutServer{server: grpc.NewServer(options...), health: health.NewServer()}
	scoutv1.RegisterScoutmasterServiceServer(s.server, sessions)
	healthpb.RegisterHealthServer(s.server, s.health)
	if reflect {
		reflection.Register(s.server)
	}
	s.health.SetServingStatus(scoutv1.ScoutmasterService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	return s
}

// serve serves HTTP, over TLS if the server has a config for it.
func serve(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// readiness says whether scouts and consumers are served.
type readiness struct{ stopping atomic.Bool }

func (r *readiness) check() error {
	if r.stopping.Load() {
		return errors.New("the scoutmaster is stopping")
	}
	return nil
}

// stopWithin calls stop, and cut if that takes too long.
func stopWithin(limit time.Duration, stop, cut func()) {
	timer := time.AfterFunc(limit, cut)
	defer timer.Stop()
	stop()
}

// finish lets requests in flight finish, for as long as there is time.
func finish(s *http.Server, log *zap.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests cut off", zap.Duration("after", finishTime))
		return s.Close()
	}
	return err
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
