package access

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// A call whose first message does not come ends; one that has begun goes on for as
// long as it likes.
func TestFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const within = 10 * time.Second
		server := grpc.NewServer(FirstMessage(within)...)
		healthpb.RegisterHealthServer(server, health.NewServer())
		listener := bufconn.Listen(1 << 16)
		go server.Serve(listener)
		defer server.Stop()
		conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		must(t, err)
		defer conn.Close()

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
		must(t, err)
		_, err = watch.Recv()
		must(t, err)

		for _, method := range []string{healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName} {
			began := time.Now()
			call, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			must(t, err)
			err = call.RecvMsg(new(healthpb.HealthCheckResponse))
			if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took < within || took > within+time.Second {
				t.Errorf("%s: %v after %s", method, err, took)
			}
		}

		_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		must(t, err)
		time.Sleep(10 * within)
		ended := make(chan error, 1)
		go func() { _, err := watch.Recv(); ended <- err }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Error("a call that had begun:", err)
		default:
		}
		cancel()
		<-ended
	})
}
