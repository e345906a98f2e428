package testfleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/stream"
)

// atOnce is how many scouts may be starting at a time: enough to keep the master
// busy, and few enough that each is answered in time.
const atOnce = 64

// PlayedScouts are scouts that watch no disk, one for each directory.
type PlayedScouts struct {
	Masters     []string // the scoutmasters' gRPC addresses, on this machine
	Directories []*Directory
}

// Run plays the scouts until ctx is done; then they deregister. A scout whose
// first registration fails is started again, as a service manager would. The
// error is that this went on failing for one of them.
func (p *PlayedScouts) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	starting := make(chan struct{}, atOnce)
	for i, dir := range p.Directories {
		select {
		case <-ctx.Done():
		case starting <- struct{}{}:
			group.Go(func() error { return p.play(ctx, i, dir, func() { <-starting }) })
		}
	}
	return group.Wait()
}

// attempts is how often a scout is started before that is an error.
const attempts = 30

// play plays one scout and calls started when it is listed, or cannot be.
func (p *PlayedScouts) play(ctx context.Context, i int, dir *Directory, started func()) (err error) {
	once := sync.OnceFunc(started)
	defer once()
	for range attempts {
		if err = p.scout(i, dir, once).Run(ctx); err == nil {
			return nil
		}
		Sleep(ctx, time.Second+rand.N(time.Second))
	}
	return fmt.Errorf("scout %d: %w", i, err)
}

func (p *PlayedScouts) scout(i int, dir *Directory, listed func()) *stream.Scout {
	return &stream.Scout{
		Origin:  OriginOf(i),
		Version: "load", Directory: dir, Log: zap.New(listedCore{listed}),
		Dialer:      &dial.Dialer{Masters: p.Masters, Spread: OriginOf(i).Host},
		Credentials: plaintext,
	}
}

// OriginOf returns the origin of the i-th played scout.
func OriginOf(i int) files.Origin {
	return files.Origin{Host: fmt.Sprintf("host-%05d", i), Directory: "/srv/data"}
}

// Dial connects to a scoutmaster on this machine as a scout does.
func Dial(master string) (*grpc.ClientConn, error) {
	return grpc.NewClient(master, append(stream.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

func plaintext() ([]grpc.DialOption, error) {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil
}

// listedCore is a log that keeps nothing and tells when a scout is listed.
type listedCore struct{ listed func() }

// listedMessage is what a scout logs when the master has all its files.
const listedMessage = "snapshot sent"

func (c listedCore) Enabled(level zapcore.Level) bool  { return level == zapcore.InfoLevel }
func (c listedCore) With([]zapcore.Field) zapcore.Core { return c }
func (c listedCore) Sync() error                       { return nil }

func (c listedCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Message != listedMessage {
		return to
	}
	return to.AddCore(e, c)
}

func (c listedCore) Write(zapcore.Entry, []zapcore.Field) error {
	c.listed()
	return nil
}

// Directory is the directory of a played scout: it shows a Set that its owner
// changes. It implements stream.Directory.
type Directory struct {
	mu      sync.Mutex
	view    files.View
	changed chan time.Time
}

// NewDirectory returns a Directory that shows set.
func NewDirectory(set *files.Set) *Directory {
	return &Directory{view: files.View{Set: set}, changed: make(chan time.Time, 1)}
}

// View returns what is shown now.
func (d *Directory) View() files.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.view
}

// Changed says that View may have changed.
func (d *Directory) Changed() <-chan time.Time { return d.changed }

// Rescan says at once that View has all there is.
func (d *Directory) Rescan() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Change adds and removes names.
func (d *Directory) Change(delta files.Delta) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	set, err := d.view.Set.Apply(delta)
	if err != nil {
		return err
	}
	d.view.Set = set
	select {
	case d.changed <- time.Now():
	default:
	}
	return nil
}

// Add adds a name.
func (d *Directory) Add(name string) error {
	return d.Change(files.Delta{Removed: new(files.Set), Added: only(name)})
}

// Remove removes a name.
func (d *Directory) Remove(name string) error {
	return d.Change(files.Delta{Removed: only(name), Added: new(files.Set)})
}

func only(name string) *files.Set {
	var b files.Builder
	b.Add([]byte(name))
	return b.Set()
}
