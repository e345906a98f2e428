package filestest_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"scout/internal/files/filestest"
)

// The tree is shaped like the packages of a Linux distribution.
func TestTreeIsShapedLikePackages(t *testing.T) {
	const size = 300_000
	tree := filestest.NewTree(size, 1)
	if n := tree.Len(); n != size {
		t.Errorf("the tree has %d files, want %d", n, size)
	}
	if dirs := len(tree.Directories); dirs < size/13 || dirs > size/8 {
		t.Errorf("the tree has %d directories", dirs)
	}
	var perDirectory, depths, lengths []int
	paths := 0
	for _, d := range tree.Directories {
		if len(d.Files) > 0 {
			perDirectory = append(perDirectory, len(d.Files))
		}
		for _, f := range d.Files {
			path := filepath.Join(d.Path, f)
			depths, lengths = append(depths, 1+strings.Count(path, "/")), append(lengths, len(f))
			paths += len(path)
		}
	}
	for _, q := range []struct {
		what        string
		all         []int
		share       float64
		least, most int
	}{
		{"files in a directory", perDirectory, 0.25, 1, 2},
		{"files in a directory", perDirectory, 0.5, 3, 3},
		{"files in a directory", perDirectory, 0.75, 6, 7},
		{"files in a directory", perDirectory, 0.9, 15, 19},
		{"files in a directory", perDirectory, 0.95, 31, 37},
		{"files in a directory", perDirectory, 0.99, 130, 165},
		{"files in a directory", perDirectory, 1, size * 77_543 / 7_300_000, size/90 + 1},
		{"depth", depths, 0.05, 3, 4},
		{"depth", depths, 0.5, 6, 6},
		{"depth", depths, 0.95, 9, 11},
		{"length of a filename", lengths, 0.05, 6, 8},
		{"length of a filename", lengths, 0.5, 15, 17},
		{"length of a filename", lengths, 0.95, 42, 48},
	} {
		slices.Sort(q.all)
		got := q.all[min(len(q.all)-1, int(q.share*float64(len(q.all))))]
		if got < q.least || got > q.most {
			t.Errorf("%s: %d at %g, want %d to %d", q.what, got, q.share, q.least, q.most)
		}
	}
	if mean := paths / size; mean < 59 || mean > 69 {
		t.Errorf("a path has %d bytes on average, want 64", mean)
	}
}

// The tree on the disk is the tree in memory, and the same each time.
func TestTreeIsMade(t *testing.T) {
	tree := filestest.NewTree(2000, 7)
	if again := filestest.NewTree(2000, 7); !reflect.DeepEqual(tree, again) {
		t.Error("the same seed makes another tree")
	}
	dir := filepath.Join(t.TempDir(), "tree")
	if err := tree.Make(dir); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found++
		}
		return err
	})
	if err != nil || found != 2000 {
		t.Errorf("%d files are there: %v", found, err)
	}
}
