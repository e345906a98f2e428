// Package load plays scouts that watch no disk: each speaks the real protocol
// and shows the names that it was given. A thousand of them fit in a process.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"scout/internal/files"
	"scout/internal/stream"
)

// Shape makes the name of a scout's i-th file.
type Shape func(scout, i int, r *rand.Rand) string

// Apart gives each scout directories of its own, so that whole stretches of the
// merged list are one scout's.
func Apart(scout, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team-%04d/service/d%05d/file-%06d.dat", scout, i/100, i%100)
}

// Same gives all scouts the same names, as hosts of one kind have them.
func Same(_, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team/service/d%05d/file-%06d.dat", i/100, i%100)
}

// Interleaved gives all scouts different names that sort between each other's
// at random.
func Interleaved(scout, _ int, r *rand.Rand) string {
	return fmt.Sprintf("team/service/d%05d/file-%09d-%04d.dat", r.IntN(10_000), r.IntN(1e9), scout)
}

// Names returns the set of n names of a scout.
func Names(scout, n int, shape Shape) *files.Set {
	r := rand.New(rand.NewPCG(uint64(scout), 1))
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, shape(scout, i, r))
	}
	slices.Sort(names)
	var b files.Builder
	for _, name := range slices.Compact(names) {
		b.Add([]byte(name))
	}
	return b.Set()
}

// Source shows a Set that its owner replaces.
type Source struct {
	mu      sync.Mutex
	view    files.View
	changed chan struct{}
}

// NewSource returns a Source that shows set.
func NewSource(set *files.Set) *Source {
	return &Source{view: files.View{Set: set}, changed: make(chan struct{}, 1)}
}

// View returns what is shown now.
func (s *Source) View() files.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Changed says that View may have changed.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Change adds and removes names.
func (s *Source) Change(d files.Delta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := s.view.Set.Apply(d)
	if err != nil {
		return err
	}
	s.view.Set = set
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

// Run plays scouts at a master, one for each source, until ctx is done.
func Run(ctx context.Context, master string, sources []*Source) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, source := range sources {
		scout := &stream.Scout{
			Origin:  files.Origin{Host: fmt.Sprintf("host-%05d", i), Directory: "/srv/data"},
			Version: "load", Source: source, Master: master, Log: zap.NewNop(),
			Dial: func() (*grpc.ClientConn, error) {
				return grpc.NewClient(master, append(stream.DialOptions(),
					grpc.WithTransportCredentials(insecure.NewCredentials()))...)
			},
		}
		group.Go(func() error { return scout.Run(ctx) })
	}
	return group.Wait()
}
