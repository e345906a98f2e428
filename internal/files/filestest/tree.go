package filestest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Tree is a tree of files as people have them: its numbers of files in a
// directory, its depths and its lengths of names are distributed like those of
// the 7.3 million files in Debian's packages.
type Tree struct {
	Directories []TreeDirectory // each after its parent; the first is the top
}

// TreeDirectory is a directory of a Tree.
type TreeDirectory struct {
	Path  string // relative to the top, "" for the top itself
	Files []string
}

// quantiles are points of a distribution: a value and the share of all that is
// not above it. Between two points the logarithm of the value grows evenly.
type quantiles []struct{ share, value float64 }

var (
	filesOfDirectory = quantiles{{0, 0.7}, {0.25, 1.4}, {0.5, 3.1}, {0.75, 6.3}, {0.9, 17}, {0.95, 34}, {0.99, 147}}
	depthOfFile      = quantiles{{0, 2}, {0.05, 4}, {0.25, 5}, {0.5, 6}, {0.75, 7.2}, {0.95, 10}, {1, 15}}
	lengthOfFilename = quantiles{{0, 3}, {0.05, 7}, {0.25, 11}, {0.5, 16}, {0.75, 24}, {0.95, 45}, {1, 120}}
	lengthOfPart     = quantiles{{0, 2}, {0.25, 4}, {0.5, 6}, {0.75, 8.7}, {0.95, 15}, {1, 32}}
)

// at returns the value below which a share of all is. Above the last point the
// values are those of a Pareto distribution.
func (q quantiles) at(share float64) float64 {
	const tail = 2.5 // the exponent
	for i, p := range q {
		if share <= p.share && i > 0 {
			before := q[i-1]
			part := (share - before.share) / (p.share - before.share)
			return before.value * math.Pow(p.value/before.value, part)
		}
	}
	last := q[len(q)-1]
	return last.value * math.Pow((1-last.share)/(1-share), 1/tail)
}

func (q quantiles) pick(r *rand.Rand) int { return int(math.Round(q.at(r.Float64()))) }

// NewTree returns a tree of so many files, the same one each time for a seed. It
// has about a tenth as many directories, and one that is much larger than all
// others.
func NewTree(files int, seed uint64) *Tree {
	b := treeBuilder{Rand: rand.New(rand.NewPCG(seed, 2)), parts: map[string]bool{}, levels: [][]string{{""}}}
	for range 500 {
		b.words = append(b.words, b.word())
	}
	t := &Tree{Directories: []TreeDirectory{{Files: b.names(1)}}}
	largest := int(math.Ceil(float64(files) * 77_543 / 7_300_000))
	for left := files - 1; left > 0; {
		n := max(1, filesOfDirectory.pick(b.Rand))
		if len(t.Directories) == 20 {
			n = largest
		}
		n = min(n, left)
		left -= n
		for _, dir := range b.directory(max(1, depthOfFile.pick(b.Rand)-1)) {
			t.Directories = append(t.Directories, TreeDirectory{Path: dir})
		}
		last := &t.Directories[len(t.Directories)-1]
		last.Files = b.names(n)
		for _, name := range last.Files {
			if !strings.Contains(name, ".") {
				b.parts[filepath.Join(last.Path, name)] = true // no directory may have this name
			}
		}
	}
	return t
}

type treeBuilder struct {
	*rand.Rand
	words  []string
	parts  map[string]bool // the directories, and files that have names like directories
	levels [][]string      // the directories by depth
}

// word returns a word of letters.
func (b *treeBuilder) word() string {
	const vowels, consonants = "aeiou", "bcdfghklmnprstvz"
	var w strings.Builder
	for i := range 2 + b.IntN(7) {
		letters := consonants
		if i%2 == 1 {
			letters = vowels
		}
		w.WriteByte(letters[b.IntN(len(letters))])
	}
	return w.String()
}

// text returns words of so many bytes.
func (b *treeBuilder) text(length int, separator string) string {
	s := b.words[b.IntN(len(b.words))]
	for len(s) < length {
		s += separator + b.words[b.IntN(len(b.words))]
	}
	if last := s[:length][length-1]; last == '-' || last == '_' || last == '.' {
		return s[:length-1] + "x"
	}
	return s[:length]
}

// directory makes a directory at a depth, in one of those that were made lately
// at the depth above, and the parents that are missing there.
func (b *treeBuilder) directory(depth int) (made []string) {
	for len(b.levels) <= depth {
		b.levels = append(b.levels, nil)
	}
	if len(b.levels[depth-1]) == 0 {
		made = b.directory(depth - 1)
	}
	parents := b.levels[depth-1]
	parent := parents[len(parents)-1-b.IntN(min(len(parents), 1+depth*20))]
	for {
		dir := filepath.Join(parent, b.text(max(2, lengthOfPart.pick(b.Rand)), "-"))
		if !b.parts[dir] {
			b.parts[dir] = true
			b.levels[depth] = append(b.levels[depth], dir)
			return append(made, dir)
		}
	}
}

var extensions = []string{".h", ".html", ".py", ".png", ".gz", ".so", ".txt", ".js", ".mo", ""}

// names returns n names of files in one directory, which have much in common.
func (b *treeBuilder) names(n int) (names []string) {
	extension, separator := extensions[b.IntN(len(extensions))], string("-_."[b.IntN(3)])
	known := map[string]bool{}
	for i := 0; len(names) < n; i++ {
		length := max(2, lengthOfFilename.pick(b.Rand)-len(extension))
		name := b.text(length, separator)
		if known[name] {
			number := strconv.FormatInt(int64(i), 36)
			name = name[:max(0, len(name)-len(number)-1)] + "0" + number
		}
		if !known[name] && !b.parts[name+extension] {
			known[name] = true
			names = append(names, name+extension)
		}
	}
	return names
}

// Len returns how many files the tree has.
func (t *Tree) Len() (n int) {
	for _, d := range t.Directories {
		n += len(d.Files)
	}
	return n
}

// Make makes the tree of empty files in a directory that does not exist yet.
func (t *Tree) Make(dir string) error {
	for _, d := range t.Directories {
		at := filepath.Join(dir, d.Path)
		if err := os.Mkdir(at, 0o750); err != nil {
			return err
		}
		for _, name := range d.Files {
			f, err := os.OpenFile(at+"/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("make a tree: %w", err)
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
