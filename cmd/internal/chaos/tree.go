//go:build linux

package main

import (
	"path"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"scout/cmd/internal/chaos/history"
)

// node is what the model knows of a file or a directory.
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
	scout     int // history.All: nobody's
	away      bool
	recursive bool
	exclude   []string
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

// names are those that a scout has to list of n, when n is at p.
func (t *tree) names(n *node, p string) (names []history.Name) {
	if n == nil {
		return nil
	}
	n.files(p, func(p string) {
		if t.listed(p) {
			names = append(names, history.Name{Scout: t.scout, Path: []byte(p)})
		}
	})
	return names
}

// place is where in a tree something is, or could be.
type place struct {
	tree   *tree
	parent *node
	dir    string // of the parent, relative to the tree, or "."
	name   string
}

func (p place) node() *node  { return p.parent.children[p.name] }
func (p place) rel() string  { return path.Join(p.dir, p.name) }
func (p place) disk() string { return p.tree.path + "/" + p.rel() }

// depth is how many directories p is in, below the root of its tree.
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
