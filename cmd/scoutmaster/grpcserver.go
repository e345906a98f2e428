package main

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"scout/cmd/internal/memory"
	"scout/internal/access"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// grpcServer is the listener that scouts connect to. It serves their sessions and
// the scoutmaster's health.
type grpcServer struct {
	listener *access.Listener
	sessions *stream.Server
	server   *grpc.Server
	health   *health.Server
	ready    func() error // nil: scouts are always served
}

// newGRPCServer returns the server of a listener. Run serves it.
func newGRPCServer(p parts) *grpcServer {
	limited := access.Limit(p.grpc, p.config.limits.connectionsWithin(p.capacity.grpc), p.log.With(zap.String("listener", "grpc")))
	s := &grpcServer{
		listener: limited,
		sessions: stream.NewServer(p.registry, stream.Config{
			Heartbeat: p.config.heartbeat, Deadline: p.config.deadline, Limits: p.config.limits.held,
			Authorizer: p.gate, Capacity: memory.Room, Log: p.log, Recorder: p.counts,
		}),
		server: grpc.NewServer(slices.Concat(stream.ServerOptions(), limited.ServerOptions(), grpcLimits(),
			[]grpc.ServerOption{grpc.Creds(p.gate.ScoutCredentials())})...),
		health: health.NewServer(),
	}
	if p.shared {
		s.ready = p.registry.Ready
	}
	scoutv1.RegisterScoutmasterServiceServer(s.server, s.sessions)
	healthpb.RegisterHealthServer(s.server, s.health)
	if p.config.reflection {
		reflection.Register(s.server)
	}
	s.health.SetServingStatus(scoutv1.ScoutmasterService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	return s
}

// Run serves until ctx is done. Then it accepts no more scouts, tells the
// connected ones, and gives them finishTime to leave.
func (s *grpcServer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.sessions.Run(ctx) })
	// The server may be stopped before it begins to serve.
	group.Go(func() error { return ignore(s.server.Serve(s.listener), grpc.ErrServerStopped) })
	group.Go(func() error {
		s.reportHealth(ctx)
		s.health.Shutdown()
		stopWithin(finishTime, s.server.GracefulStop, func() {
			s.listener.Cut()
			s.server.Stop()
		})
		return nil
	})
	return group.Wait()
}

// healthInterval is how often the health service learns whether scouts are served.
const healthInterval = 100 * time.Millisecond

// reportHealth has the health service say whether scouts are served, until ctx is
// done.
func (s *grpcServer) reportHealth(ctx context.Context) {
	if s.ready == nil {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	for serving := true; ; {
		ready := s.ready() == nil
		switch {
		case serving && !ready:
			s.health.Shutdown()
		case !serving && ready:
			s.health.Resume()
		}
		serving = ready
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
