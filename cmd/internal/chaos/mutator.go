//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"

	"scout/cmd/internal/chaos/history"
)

const (
	// deepest is the greatest depth of directories: names may have
	// 255 bytes, and a path at most 4096.
	deepest = 7
	// largest is the number of files and directories of a tree from which on more
	// of them are removed than made.
	largest = 300
)

// mutator changes files at random. It knows how each change affects the listed
// names, and records that. One goroutine uses it; others call ask.
type mutator struct {
	*rand.Rand
	recorder *recorder
	trees    []*tree // the last one has no scout; files move there and back
	asked    chan request
}

// request is a function for the mutator to call between its own operations.
type request struct {
	do   func() error
	done chan error
}

// ask makes the mutator call a function, and waits.
func (m *mutator) ask(do func() error) error {
	r := request{do, make(chan error, 1)}
	m.asked <- r
	return <-r.done
}

// mutate changes files until stop is closed. It does so in bursts of very different
// lengths, because a flooded queue hides other bugs. An error is a bug of the mutator
// or the machine: an operation failed that must work.
func (m *mutator) mutate(stop <-chan struct{}) error {
	for {
		for range 1 + m.IntN(1<<m.IntN(11)) {
			if err := m.act(); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		case r := <-m.asked:
			r.done <- r.do()
		case <-time.After(time.Duration(m.IntN(100)) * time.Millisecond):
		}
	}
}

// serve only serves requests, until stop is closed.
func (m *mutator) serve(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case r := <-m.asked:
			r.done <- r.do()
		}
	}
}

// do does one operation that removes and adds known names.
func (m *mutator) do(text string, gone, come []history.Name, op func() error) error {
	id := m.recorder.id()
	gone, come = without(gone, come), without(come, gone)
	m.recorder.add(history.Event{Begin: &history.Operation{ID: id, Text: text, Gone: gone, Come: come}})
	err := op()
	m.recorder.add(history.Event{End: id})
	if err != nil {
		return fmt.Errorf("operation %d, %s: %w", id, text, err)
	}
	return nil
}

// without returns the names of a that b does not have.
func without(a, b []history.Name) (rest []history.Name) {
	has := map[string]bool{}
	for _, n := range b {
		has[fmt.Sprint(n.Scout, "/")+string(n.Path)] = true
	}
	for _, n := range a {
		if !has[fmt.Sprint(n.Scout, "/")+string(n.Path)] {
			rest = append(rest, n)
		}
	}
	return rest
}

// act does one random operation. It does nothing if the operation is impossible at
// the random place.
func (m *mutator) act() error {
	t := m.trees[m.IntN(len(m.trees))]
	if t.away {
		return nil
	}
	p := m.place(t)
	exists := p.node() != nil
	if !exists && t.root.size() > largest && m.IntN(4) > 0 {
		return nil
	}
	switch n := m.IntN(20); {
	case !exists && n < 8:
		return m.make(p)
	case !exists && n < 12:
		return m.makeAll(p)
	case n < 14:
		return m.move(p)
	case exists && n < 15:
		return m.exchange(p, m.place(t))
	case exists && n < 16:
		return m.remake(p)
	case exists && n < 17:
		return m.touch(p)
	case exists && (!p.node().dir || m.IntN(3) == 0):
		return m.remove(p)
	}
	return nil
}

// make makes one file of some kind.
func (m *mutator) make(p place) error {
	kinds := []struct {
		name string
		make func(path string) error
	}{
		{"create", create},
		{"create", create},
		{"symlink", func(path string) error { return os.Symlink(linkTargets[m.IntN(len(linkTargets))], path) }},
		{"fifo", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"link", m.hardLink},
	}
	kind := kinds[m.IntN(len(kinds))]
	p.parent.put(p.name, new(node))
	return m.do(kind.name+" "+p.disk(), nil, p.tree.names(p.node(), p.rel()), func() error { return kind.make(p.disk()) })
}

func create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// hardLink makes a file elsewhere and a second name for it.
func (m *mutator) hardLink(path string) error {
	other := m.trees[len(m.trees)-1].path + ".link"
	if err := create(other); err != nil {
		return err
	}
	defer os.Remove(other) //nolint:errcheck // the next call would fail
	return os.Link(other, path)
}

// makeAll makes nested directories, and at once a file in the innermost.
func (m *mutator) makeAll(p place) error {
	text := "mkdir -p " + p.disk()
	first := p
	for {
		p.parent.put(p.name, newDir())
		if m.IntN(2) == 0 || p.depth() >= deepest-1 {
			break
		}
		p = p.in(m.name())
	}
	inner := p
	if err := m.do(text, nil, nil, func() error { return os.MkdirAll(inner.disk(), 0o700) }); err != nil {
		return fmt.Errorf("from %s: %w", first.disk(), err)
	}
	if p.depth() >= deepest || m.IntN(4) == 0 {
		return nil
	}
	return m.make(inner.in(m.name()))
}

// move moves a file or directory from p to another place, perhaps in another tree.
// If there is nothing at p, it moves something to p. It replaces what is in the way
// if the system does.
func (m *mutator) move(from place) error {
	to := m.place(from.tree)
	if m.IntN(3) == 0 {
		to = m.place(m.trees[m.IntN(len(m.trees))])
	}
	if from.node() == nil {
		from, to = to, from
	}
	if !m.movable(from, to) {
		return nil
	}
	moved, replaced := from.node(), to.node()
	gone := append(from.tree.names(moved, from.rel()), to.tree.names(replaced, to.rel())...)
	from.parent.remove(from.name)
	to.parent.put(to.name, moved)
	return m.do("mv "+from.disk()+" "+to.disk(), gone, to.tree.names(moved, to.rel()),
		func() error { return unix.Rename(from.disk(), to.disk()) })
}

func (m *mutator) movable(from, to place) bool {
	moved, replaced := from.node(), to.node()
	switch {
	case moved == nil || moved == replaced || to.tree.away || from.tree.away:
		return false
	case from.tree == to.tree && within(to.rel(), from.rel()):
		return false // into itself
	case to.depth()+moved.height() > deepest:
		return false
	case replaced == nil:
		return true
	}
	return moved.dir == replaced.dir && len(replaced.children) == 0 && !within(from.rel(), to.rel())
}

// height is the depth of nested directories at n.
func (n *node) height() (height int) {
	for _, c := range n.children {
		height = max(height, c.height())
	}
	if n.dir {
		height++
	}
	return height
}

// within reports whether path is dir or in it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// exchange swaps two files or directories atomically.
func (m *mutator) exchange(a, b place) error {
	x, y := a.node(), b.node()
	if y == nil || within(a.rel(), b.rel()) || within(b.rel(), a.rel()) ||
		a.depth()+y.height() > deepest || b.depth()+x.height() > deepest {
		return nil
	}
	t := a.tree
	gone := append(t.names(x, a.rel()), t.names(y, b.rel())...)
	a.parent.put(a.name, y)
	b.parent.put(b.name, x)
	come := append(t.names(y, a.rel()), t.names(x, b.rel())...)
	return m.do("exchange "+a.disk()+" "+b.disk(), gone, come, func() error {
		return unix.Renameat2(unix.AT_FDCWD, a.disk(), unix.AT_FDCWD, b.disk(), unix.RENAME_EXCHANGE)
	})
}

// remake removes a directory and makes another one of the same name at once, or
// replaces a file by one of another kind.
func (m *mutator) remake(p place) error {
	if err := m.remove(p); err != nil {
		return err
	}
	if m.IntN(4) == 0 {
		return m.make(p)
	}
	return m.makeAll(p)
}

func (m *mutator) touch(p place) error {
	now := time.Now()
	ts := []unix.Timespec{unix.NsecToTimespec(now.UnixNano()), unix.NsecToTimespec(now.UnixNano())}
	return m.do("touch "+p.disk(), nil, nil, func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, p.disk(), ts, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (m *mutator) remove(p place) error {
	gone := p.tree.names(p.node(), p.rel())
	p.parent.remove(p.name)
	return m.do("rm -rf "+p.disk(), gone, nil, func() error { return os.RemoveAll(p.disk()) })
}

// place returns a random place, which may be empty.
func (m *mutator) place(t *tree) place {
	p := place{t, t.root, ".", m.pick(t.root)}
	for p.depth() < deepest && p.node() != nil && p.node().dir && m.IntN(4) > 0 {
		p = p.in(m.pick(p.node()))
	}
	return p
}

// pick returns a name, which may exist in dir.
func (m *mutator) pick(dir *node) string {
	if len(dir.names) > 0 && m.IntN(3) > 0 {
		return dir.names[m.IntN(len(dir.names))]
	}
	return m.name()
}

var linkTargets = []string{".", "..", "/", "/etc", "a", "../a", "/nothing/at/all"}

// oddNames are names that file systems allow and programs often get wrong.
var oddNames = []string{
	"a", "ab", "abc", "a.b", "a b", "a-", "x.tmp", "cache", "d", "e", "-a", "...", "..a", ".a", "*", "\"", "\\", "\n", "a\nb", "\t", "\x01",
	"\x7f", "\xff", "a\xfe\xffb", "\xc3\x28", "é", "e\u0301", "\u2028", "\ufffd", "\U0001f600", "a\x80", "<b>", "&amp;", "%00", "a?b=c",
	strings.Repeat("n", 255), strings.Repeat("\xff", 255), strings.Repeat("n", 254) + "m",
}

// name returns one of a few names most of the time, so that operations collide.
func (m *mutator) name() string {
	switch m.IntN(8) {
	case 0:
		return oddNames[m.IntN(len(oddNames))]
	case 1:
		return strconv.Itoa(m.IntN(1000))
	}
	return oddNames[m.IntN(10)]
}

// node is a file or a directory in the model.
type node struct {
	dir      bool
	children map[string]*node
	names    []string // of the children, in an order that only the seed decides
}

func newDir() *node { return &node{dir: true, children: map[string]*node{}} }

func (n *node) put(name string, child *node) {
	if n.children[name] == nil {
		n.names = append(n.names, name)
	}
	n.children[name] = child
}

func (n *node) remove(name string) {
	delete(n.children, name)
	i := slices.Index(n.names, name)
	n.names = slices.Delete(n.names, i, i+1)
}

// size is how many nodes there are below n, itself included.
func (n *node) size() int {
	size := 1
	for _, c := range n.children {
		size += c.size()
	}
	return size
}

// directories is how many directories there are at and below n.
func (n *node) directories() (dirs int) {
	if n.dir {
		dirs = 1
	}
	for _, c := range n.children {
		dirs += c.directories()
	}
	return dirs
}

// files calls yield with the path of each node below n, or n itself, that is
// not a directory.
func (n *node) files(at string, yield func(path string)) {
	if !n.dir {
		yield(at)
		return
	}
	for _, name := range n.names {
		n.children[name].files(path.Join(at, name), yield)
	}
}

// tree is a directory on the disk and the model of what is in it. One
// goroutine uses it.
type tree struct {
	path      string
	root      *node
	scout     int // history.All: none
	away      bool
	recursive bool
	exclude   []string
	fixed     []string // paths that always exist, on a disk that does not change
}

// listed reports whether the scout of the tree has to list a file at path.
func (t *tree) listed(p string) bool {
	if t.scout == history.All || !t.recursive && path.Dir(p) != "." {
		return false
	}
	for ; p != "."; p = path.Dir(p) {
		for _, pattern := range t.exclude {
			if doublestar.MatchUnvalidated(pattern, p) {
				return false
			}
		}
	}
	return true
}

// names returns the names that a scout must list for n at p.
func (t *tree) names(n *node, p string) (names []history.Name) {
	if n == nil {
		return nil
	}
	add := func(p string) {
		if t.listed(p) {
			names = append(names, history.Name{Scout: t.scout, Path: []byte(p)})
		}
	}
	n.files(p, add)
	if n == t.root {
		for _, p := range t.fixed {
			add(p)
		}
	}
	return names
}

// place is a path in a tree, which may exist.
type place struct {
	tree   *tree
	parent *node
	dir    string // of the parent, relative to the tree, or "."
	name   string
}

func (p place) node() *node  { return p.parent.children[p.name] }
func (p place) rel() string  { return path.Join(p.dir, p.name) }
func (p place) disk() string { return p.tree.path + "/" + p.rel() }

// depth is the number of directories above p, below the root of its tree.
func (p place) depth() int {
	if p.dir == "." {
		return 0
	}
	depth := 1
	for _, c := range p.dir {
		if c == '/' {
			depth++
		}
	}
	return depth
}

// in returns the place of a name in the directory at p.
func (p place) in(name string) place {
	return place{p.tree, p.node(), p.rel(), name}
}
