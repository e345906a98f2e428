//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"scout/cmd/internal/chaos/history"
)

const (
	// deepest is how many directories may be within each other: names may have
	// 255 bytes, and a path at most 4096.
	deepest = 7
	// largest is how many things a tree may have before more of them are removed
	// than made.
	largest = 300
)

// vandal does random things to files. It knows what each does to the names that
// are listed, and records that. One goroutine uses it; others ask it.
type vandal struct {
	*rand.Rand
	recorder *recorder
	trees    []*tree // the last is nobody's, where things are moved to and from
	asked    chan request
}

// request is something for the vandal to do between its own operations.
type request struct {
	do   func() error
	done chan error
}

// ask has the vandal do something, and waits.
func (v *vandal) ask(do func() error) error {
	r := request{do, make(chan error, 1)}
	v.asked <- r
	return <-r.done
}

// rage goes on until stop is closed: in bursts of very different lengths, since
// what floods a queue hides what does not. An error is one of the vandal's own:
// it knows what must work.
func (v *vandal) rage(stop <-chan struct{}) error {
	for {
		for range 1 + v.IntN(1<<v.IntN(11)) {
			if err := v.act(); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		case r := <-v.asked:
			r.done <- r.do()
		case <-time.After(time.Duration(v.IntN(100)) * time.Millisecond):
		}
	}
}

// serve does what it is asked for until stop is closed, and nothing else.
func (v *vandal) serve(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case r := <-v.asked:
			r.done <- r.do()
		}
	}
}

// do does one operation, of which it is known which names go and come.
func (v *vandal) do(text string, gone, come []history.Name, op func() error) error {
	id := v.recorder.id()
	gone, come = without(gone, come), without(come, gone)
	v.recorder.add(history.Event{Begin: &history.Operation{ID: id, Text: text, Gone: gone, Come: come}})
	err := op()
	v.recorder.add(history.Event{End: id})
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

// act does one random thing somewhere, or nothing when chance offers none.
func (v *vandal) act() error {
	t := v.trees[v.IntN(len(v.trees))]
	if t.away {
		return nil
	}
	p := v.place(t)
	exists := p.node() != nil
	if !exists && t.root.size() > largest && v.IntN(4) > 0 {
		return nil
	}
	switch n := v.IntN(20); {
	case !exists && n < 8:
		return v.make(p)
	case !exists && n < 12:
		return v.makeAll(p)
	case n < 14:
		return v.move(p)
	case exists && n < 15:
		return v.exchange(p, v.place(t))
	case exists && n < 16:
		return v.remake(p)
	case exists && n < 17:
		return v.touch(p)
	case exists && (!p.node().dir || v.IntN(3) == 0):
		return v.remove(p)
	}
	return nil
}

// make makes one file of some kind.
func (v *vandal) make(p place) error {
	kinds := []struct {
		name string
		make func(path string) error
	}{
		{"create", create},
		{"create", create},
		{"symlink", func(path string) error { return os.Symlink(linkTargets[v.IntN(len(linkTargets))], path) }},
		{"fifo", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"link", v.hardLink},
	}
	kind := kinds[v.IntN(len(kinds))]
	p.parent.put(p.name, new(node))
	return v.do(kind.name+" "+p.disk(), nil, p.tree.names(p.node(), p.rel()), func() error { return kind.make(p.disk()) })
}

func create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// hardLink makes a file elsewhere and a second name for it.
func (v *vandal) hardLink(path string) error {
	other := v.trees[len(v.trees)-1].path + ".link"
	if err := create(other); err != nil {
		return err
	}
	defer os.Remove(other) //nolint:errcheck // the next one would fail
	return os.Link(other, path)
}

// makeAll makes directories within directories, and at once a file in the last.
func (v *vandal) makeAll(p place) error {
	text := "mkdir -p " + p.disk()
	first := p
	for {
		p.parent.put(p.name, newDir())
		if v.IntN(2) == 0 || p.depth() >= deepest-1 {
			break
		}
		p = p.in(v.name())
	}
	inner := p
	if err := v.do(text, nil, nil, func() error { return os.MkdirAll(inner.disk(), 0o700) }); err != nil {
		return fmt.Errorf("from %s: %w", first.disk(), err)
	}
	if p.depth() >= deepest || v.IntN(4) == 0 {
		return nil
	}
	return v.make(inner.in(v.name()))
}

// move moves what is at p somewhere else, perhaps to another tree, or brings
// something to p when there is nothing. What is in the way is replaced, when
// the system does that.
func (v *vandal) move(from place) error {
	to := v.place(from.tree)
	if v.IntN(3) == 0 {
		to = v.place(v.trees[v.IntN(len(v.trees))])
	}
	if from.node() == nil {
		from, to = to, from
	}
	if !v.movable(from, to) {
		return nil
	}
	moved, replaced := from.node(), to.node()
	gone := append(from.tree.names(moved, from.rel()), to.tree.names(replaced, to.rel())...)
	from.parent.remove(from.name)
	to.parent.put(to.name, moved)
	return v.do("mv "+from.disk()+" "+to.disk(), gone, to.tree.names(moved, to.rel()),
		func() error { return unix.Rename(from.disk(), to.disk()) })
}

func (v *vandal) movable(from, to place) bool {
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

// height is how many directories are within each other at n.
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

// exchange puts each of two things in the other's place, in one moment.
func (v *vandal) exchange(a, b place) error {
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
	return v.do("exchange "+a.disk()+" "+b.disk(), gone, come, func() error {
		return unix.Renameat2(unix.AT_FDCWD, a.disk(), unix.AT_FDCWD, b.disk(), unix.RENAME_EXCHANGE)
	})
}

// remake removes a directory and makes another under its name at once, or turns
// a thing of one kind into one of another.
func (v *vandal) remake(p place) error {
	if err := v.remove(p); err != nil {
		return err
	}
	if v.IntN(4) == 0 {
		return v.make(p)
	}
	return v.makeAll(p)
}

func (v *vandal) touch(p place) error {
	now := time.Now()
	ts := []unix.Timespec{unix.NsecToTimespec(now.UnixNano()), unix.NsecToTimespec(now.UnixNano())}
	return v.do("touch "+p.disk(), nil, nil, func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, p.disk(), ts, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (v *vandal) remove(p place) error {
	gone := p.tree.names(p.node(), p.rel())
	p.parent.remove(p.name)
	return v.do("rm -rf "+p.disk(), gone, nil, func() error { return os.RemoveAll(p.disk()) })
}

// place returns a random one, where there may be something or not.
func (v *vandal) place(t *tree) place {
	p := place{t, t.root, ".", v.pick(t.root)}
	for p.depth() < deepest && p.node() != nil && p.node().dir && v.IntN(4) > 0 {
		p = p.in(v.pick(p.node()))
	}
	return p
}

// pick returns a name that may be in dir, or not.
func (v *vandal) pick(dir *node) string {
	if len(dir.names) > 0 && v.IntN(3) > 0 {
		return dir.names[v.IntN(len(dir.names))]
	}
	return v.name()
}

var linkTargets = []string{".", "..", "/", "/etc", "a", "../a", "/nothing/at/all"}

// oddNames are what file systems allow and programs stumble over.
var oddNames = []string{
	"a", "ab", "abc", "a.b", "a b", "a-", "x.tmp", "cache", "d", "e", "-a", "...", "..a", ".a", "*", "\"", "\\", "\n", "a\nb", "\t", "\x01",
	"\x7f", "\xff", "a\xfe\xffb", "\xc3\x28", "é", "e\u0301", "\u2028", "\ufffd", "\U0001f600", "a\x80", "<b>", "&amp;", "%00", "a?b=c",
	strings.Repeat("n", 255), strings.Repeat("\xff", 255), strings.Repeat("n", 254) + "m",
}

// name returns one of few most of the time, so that things get in each other's
// way.
func (v *vandal) name() string {
	switch v.IntN(8) {
	case 0:
		return oddNames[v.IntN(len(oddNames))]
	case 1:
		return strconv.Itoa(v.IntN(1000))
	}
	return oddNames[v.IntN(10)]
}
