//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"scout/cmd/internal/testfleet"
	scoutv1 "scout/proto/scout/v1"
)

// beat is how often either side of a bare stream says something.
const beat = time.Second

// bareServer answers nothing and beats, as little as a session can do.
type bareServer struct {
	scoutv1.UnimplementedScoutmasterServiceServer
}

// serveStreams is the process with a gRPC server that has nothing to do but
// its streams.
func serveStreams([]string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	scoutv1.RegisterScoutmasterServiceServer(server, bareServer{})
	say("serving", listener.Addr().String())
	return server.Serve(listener)
}

func (bareServer) Session(stream scoutv1.ScoutmasterService_SessionServer) error {
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	message := &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}
	return beats(stream.Context(), func() error { return stream.Send(message) })
}

// beats calls send at each beat, until ctx is done.
func beats(ctx context.Context, send func() error) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := send(); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// bareClients keeps so many streams to a bare server, each on a connection of
// its own, until ctx is done. It says on ready when all are there.
func bareClients(ctx context.Context, addr string, n int, ready chan<- struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	for range n {
		stream, err := bareStream(ctx, addr)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return drain(ctx, stream) })
		message := &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: &scoutv1.Beat{Revision: 1, Count: 1, Digest: 1}}}
		group.Go(func() error { return beats(ctx, func() error { return stream.Send(message) }) })
	}
	close(ready)
	return group.Wait()
}

// drain receives what a stream says, until ctx is done.
func drain(ctx context.Context, stream scoutv1.ScoutmasterService_SessionClient) error {
	for ctx.Err() == nil {
		if _, err := stream.Recv(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// bareStream opens a stream that ends, with its connection, with ctx.
func bareStream(ctx context.Context, addr string) (scoutv1.ScoutmasterService_SessionClient, error) {
	conn, err := testfleet.Dial(addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // nothing is expected of it any more
	return scoutv1.NewScoutmasterServiceClient(conn).Session(ctx)
}
