package access

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"
)

// FirstMessage makes a gRPC server end a call with DEADLINE_EXCEEDED if its first
// message has not arrived within a time. Such a call would hold a stream, a goroutine
// and a connection for as long as the peer likes: a connection with a call is not
// idle.
func FirstMessage(within time.Duration) []grpc.ServerOption {
	return []grpc.ServerOption{
		// A unary call reaches its interceptors when its message has come. Only its
		// context can end it before.
		grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
			ctx, end := context.WithCancelCause(ctx)
			timer := time.AfterFunc(within, func() { end(errNoMessage) })
			return &awaitedCall{ctx, timer}, nil
		}),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			firstMessageCame(ctx)
			return handle(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return handle(server, &awaitedStream{ServerStream: stream})
		}),
	}
}

var errNoMessage = errors.New("the first message of the call has not come")

// awaitedCall is the context of a call. It ends if the timer fires.
type awaitedCall struct {
	context.Context
	timer *time.Timer
}

// awaitedCallKey is the key under which an awaitedCall has itself.
type awaitedCallKey struct{}

func (c *awaitedCall) Value(key any) any {
	if key == (awaitedCallKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Err makes the status of the call that of a deadline.
func (c *awaitedCall) Err() error {
	if errors.Is(context.Cause(c.Context), errNoMessage) {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// firstMessageCame stops the timer of a call.
func firstMessageCame(ctx context.Context) {
	if call, ok := ctx.Value(awaitedCallKey{}).(*awaitedCall); ok {
		call.timer.Stop()
	}
}

// awaitedStream is a stream that notes its first message.
type awaitedStream struct {
	grpc.ServerStream
	came bool // only the receiver uses it
}

func (s *awaitedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && !s.came {
		s.came = true
		firstMessageCame(s.Context())
	}
	return err
}
