package watch

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("watch.seed", 0, "seed of the random operations; 0 takes one from the clock")
	steps = flag.Int("watch.steps", 3000, "number of random operations")
)

// vandal does random things to a directory. It has few names, so that they meet
// again and again, as files, directories and links.
type vandal struct {
	*rand.Rand
	dir, beside string
}

func (v *vandal) name() string {
	return string("abc"[v.IntN(3)]) + []string{"", "", ".d", "\xff"}[v.IntN(4)]
}

// path returns a random path, sometimes outside of the watched directory.
func (v *vandal) path() string {
	p := v.dir
	if v.IntN(12) == 0 {
		p = v.beside
	}
	for range 1 + v.IntN(4) {
		p = filepath.Join(p, v.name())
	}
	return p
}

// act does one thing, which may fail: something may be missing or in the way.
func (v *vandal) act() error {
	p, q := v.path(), v.path()
	switch v.IntN(16) {
	case 0, 1, 2, 3:
		return os.WriteFile(p, nil, 0o644)
	case 4, 5, 6:
		return os.MkdirAll(p, 0o755)
	case 7:
		return os.Remove(p)
	case 8:
		return os.RemoveAll(p)
	case 9, 10, 11:
		return os.Rename(p, q)
	case 12:
		return exchange(p, q)
	case 13:
		return os.Symlink([]string{v.beside, ".", q, "nowhere"}[v.IntN(4)], p)
	case 14:
		return os.Link(p, q)
	}
	return errors.Join(os.RemoveAll(p), os.MkdirAll(p, 0o755), os.WriteFile(filepath.Join(p, v.name()), nil, 0o644))
}

func TestRandomOperations(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	eachMode(t, func(t *testing.T, o Options) {
		for part := range uint64(4) {
			t.Run(fmt.Sprintf("seed=%d", *seed+part), func(t *testing.T) {
				t.Parallel()
				dir := in(t)
				v := &vandal{rand.New(rand.NewPCG(*seed+part, 0)), dir, filepath.Join(filepath.Dir(dir), "beside")}
				mkdir(t, v.beside)
				s := start(t, dir, o)
				for i := range *steps {
					_ = v.act()
					if v.IntN(100) == 0 || i == *steps-1 {
						s.converge()
					}
				}
			})
		}
	})
}
