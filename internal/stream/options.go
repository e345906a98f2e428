package stream

import (
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	// A part of an update is far below this; another implementation's may be
	// larger.
	maxMessage = 4 << 20
	// How much may be on its way from a scout: enough for a fast link, and little
	// enough that what it says behind a snapshot comes soon on a slow one. Fixed
	// windows also spare each session the probing for a larger one.
	streamWindow     = 256 << 10
	connectionWindow = 256 << 10
	// What a master says is short, and so is nearly all that it hears: the rest
	// passes the buffer by. Each session holds one whenever it is about to write,
	// and, with TLS, one to read into all the time.
	serverBuffer = 4 << 10
)

// ServerOptions is what the protocol asks of a gRPC server. The caller adds
// credentials and the like.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(serverBuffer),
		grpc.WriteBufferSize(serverBuffer),
		grpc.ConnectionTimeout(5 * time.Second),
		// Sessions notice by themselves that a peer is gone; this closes what they
		// leave behind on a network that swallows everything, and connections that
		// nobody uses.
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: time.Minute, Time: 15 * time.Second, Timeout: 10 * time.Second,
		}),
		// Pings as frequent as a client of grpc can send them are welcome.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// DialOptions is what the protocol asks of a gRPC client. The caller adds
// credentials and the like.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A connection lasts for one attempt, which ends before this does.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: grpcbackoff.DefaultConfig, MinConnectTimeout: 2 * registerBound}),
		grpc.WithDisableServiceConfig(), // saves a look-up of TXT records for each attempt
	}
}
