package access

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestStreamLimit(t *testing.T) {
	server := grpc.NewServer(StreamLimit(2)...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(listener) }()
	defer func() { server.Stop(); <-ended }()
	connect := func() healthpb.HealthClient {
		conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		return healthpb.NewHealthClient(conn)
	}
	watch := func(ctx context.Context, c healthpb.HealthClient) (healthpb.Health_WatchClient, error) {
		w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
		must(t, err)
		_, err = w.Recv()
		return w, err
	}

	crowded := connect()
	first, leave := context.WithCancel(t.Context())
	left, err := watch(first, crowded)
	must(t, err)
	_, err = watch(t.Context(), crowded)
	must(t, err)
	for range 3 * spareStreams {
		if _, err := watch(t.Context(), crowded); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "open another connection") {
			t.Fatalf("the third stream: %v", err)
		}
	}
	_, err = watch(t.Context(), connect())
	must(t, err)

	leave()
	left.Recv()
	for { // the server learns a moment later
		if _, err = watch(t.Context(), crowded); status.Code(err) != codes.ResourceExhausted {
			break
		}
	}
	must(t, err)
}
