package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"scout/internal/files"
	"scout/internal/stream"
)

// atOnce is how many scouts may be starting at a time: enough to keep the master
// busy, and few enough that each is answered in time.
const atOnce = 64

// Fleet is scouts to be played, one for each source.
type Fleet struct {
	Master  string // the scoutmaster's gRPC address, on this machine
	Sources []*Source
}

// Run plays the scouts until ctx is done; then they deregister. A scout whose
// first registration fails is started again, as a service manager would. The
// error is that this went on failing for one of them.
func (f *Fleet) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	starting := make(chan struct{}, atOnce)
	for i, source := range f.Sources {
		select {
		case <-ctx.Done():
		case starting <- struct{}{}:
			group.Go(func() error { return f.play(ctx, i, source, func() { <-starting }) })
		}
	}
	return group.Wait()
}

// attempts is how often a scout is started before that is an error.
const attempts = 30

// play plays one scout and calls started when it is listed, or cannot be.
func (f *Fleet) play(ctx context.Context, i int, source *Source, started func()) (err error) {
	once := sync.OnceFunc(started)
	defer once()
	for range attempts {
		if err = f.scout(i, source, once).Run(ctx); err == nil {
			return nil
		}
		pause(ctx, time.Second+rand.N(time.Second))
	}
	return fmt.Errorf("scout %d: %w", i, err)
}

func (f *Fleet) scout(i int, source *Source, listed func()) *stream.Scout {
	return &stream.Scout{
		Origin:  OriginOf(i),
		Version: "load", Directory: source, Master: f.Master, Log: zap.New(listener{listed}),
		Dial: func() (*grpc.ClientConn, error) { return Dial(f.Master) },
	}
}

// OriginOf is whose files the i-th source holds.
func OriginOf(i int) files.Origin {
	return files.Origin{Host: fmt.Sprintf("host-%05d", i), Directory: "/srv/data"}
}

// Dial connects to a scoutmaster on this machine as a scout does.
func Dial(master string) (*grpc.ClientConn, error) {
	return grpc.NewClient(master, append(stream.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
