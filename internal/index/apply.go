package index

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Order compares two owners, to sort entries with the same name. It returns 0 only
// for equal owners. A nil Order compares the numbers.
type Order func(a, b uint32) int

// compare compares two entries.
func (o Order) compare(a []byte, aOwner uint32, b []byte, bOwner uint32) int {
	if c := bytes.Compare(a, b); c != 0 || aOwner == bOwner {
		return c
	}
	if o == nil {
		return cmp.Compare(aOwner, bOwner)
	}
	return o(aOwner, bOwner)
}

// Edit is a change of one owner's names. Apply ignores the owners in Removed and
// Added.
type Edit struct {
	Removed, Added *Index
	Owner          uint32
}

// Apply returns the Index, which has this order, with the edits applied. Their owners
// differ. If a removed entry does not exist, or an added one exists already, it
// returns an error with the name.
//
// It takes about 30 ns for each entry in a touched block, and about 10 ns for each
// block in a touched leaf. Between two edits it reads only as much as a search
// does. Edits that touch the same leaf or block share this work.
func (ix *Index) Apply(order Order, edits ...Edit) (*Index, error) {
	out := builders.Get().(*Builder)
	defer builders.Put(out)
	defer out.reset()
	a := applier{order: order, edits: newEdits(order, edits), out: out}
	a.out.done = make([]*Leaf, 0, len(ix.leaves)+1) // usually the number does not change
	for leaves := ix.leaves; len(leaves) > 0; leaves = leaves[1:] {
		untouched := a.until(len(leaves)-1, func(i int) *block { return &leaves[i+1].blocks[0] })
		a.out.addLeaves(leaves[:untouched])
		leaves = leaves[untouched:]
		var following *block
		if len(leaves) > 1 {
			following = &leaves[1].blocks[0]
		}
		if err := a.leaf(leaves[0], following); err != nil {
			return nil, err
		}
	}
	if len(ix.leaves) == 0 {
		if err := a.rest(nil); err != nil {
			return nil, err
		}
	}
	return a.out.Index(), nil
}

// Fits returns the error that Apply would return for an edit, or nil. It takes a
// search for each name, and reads half a block.
func (ix *Index) Fits(order Order, edit Edit) error {
	for e := newEdit(edit); e.more; e.next() {
		if err := e.fits(ix.has(order, e.name, e.owner)); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether an entry exists.
func (ix *Index) has(order Order, name []byte, owner uint32) bool {
	beyond := func(b *block) bool { return order.compare(b.first(), b.firstOwner(), name, owner) > 0 }
	leaf := sort.Search(len(ix.leaves), func(i int) bool { return beyond(&ix.leaves[i].blocks[0]) }) - 1
	if leaf < 0 {
		return false
	}
	blocks := ix.leaves[leaf].blocks
	var c Cursor
	c.resetTo(blocks[sort.Search(len(blocks), func(i int) bool { return beyond(&blocks[i]) })-1])
	for c.Next() {
		if by := order.compare(c.name, c.owner, name, owner); by >= 0 {
			return by == 0
		}
	}
	return false
}

// builders are for Apply, which needs more room for its work than for its result.
var builders = sync.Pool{New: func() any { return new(Builder) }}

type applier struct {
	order Order
	edits edits
	out   *Builder
}

// until returns the number of blocks, of n, that the next edit does not touch: it
// is not before them.
func (a *applier) until(n int, at func(i int) *block) int {
	if !a.edits.more {
		return n
	}
	return gallop(n, func(i int) bool { return a.before(at(i)) })
}

// gallop returns the first i for which f is true, or n. f must be true for all
// larger i as well. It calls f O(log i) times.
func gallop(n int, f func(i int) bool) int {
	high := 1
	for high <= n && !f(high-1) {
		high *= 2
	}
	low := high / 2
	return low + sort.Search(min(high-1, n)-low, func(i int) bool { return f(low + i) })
}

// before reports whether the next edit is before the first entry of the following
// block. following is nil after the last block.
func (a *applier) before(following *block) bool {
	if !a.edits.more || following == nil {
		return a.edits.more
	}
	name := following.first()
	c := bytes.Compare(a.edits.name, name)
	if c != 0 {
		return c < 0
	}
	return a.order.compare(a.edits.name, a.edits.owner, name, following.firstOwner()) < 0
}

// leaf merges a leaf with the edits before the first block of the next leaf.
func (a *applier) leaf(l *Leaf, following *block) error {
	if !a.before(following) {
		a.out.addLeaf(l)
		return nil
	}
	for blocks := l.blocks; len(blocks) > 0; blocks = blocks[1:] {
		untouched := a.until(len(blocks)-1, func(i int) *block { return &blocks[i+1] })
		for _, bl := range blocks[:untouched] {
			a.out.addBlock(bl)
		}
		blocks = blocks[untouched:]
		next := following
		if len(blocks) > 1 {
			next = &blocks[1]
		}
		if !a.before(next) {
			a.out.addBlock(blocks[0])
			continue
		}
		if err := a.block(blocks[0], next); err != nil {
			return err
		}
	}
	return nil
}

// block merges a block with the edits before the next block.
func (a *applier) block(bl block, next *block) error {
	a.out.cut = blockMax
	defer func() { a.out.cut = 0 }()
	var c Cursor
	c.resetTo(bl)
	for c.Next() {
		match := false
		for a.edits.more && !match {
			order := a.order.compare(a.edits.name, a.edits.owner, c.name, c.owner)
			if order > 0 {
				break
			}
			match = order == 0
			if err := a.edit(match); err != nil {
				return err
			}
		}
		if !match {
			a.out.Add(c.name, c.owner)
		}
	}
	return a.rest(next)
}

// rest applies the remaining edits before the next block; no entry has their name.
func (a *applier) rest(next *block) error {
	for a.before(next) {
		if err := a.edit(false); err != nil {
			return err
		}
	}
	return nil
}

// edit applies the next edit; there says whether the entry is in the Index.
func (a *applier) edit(there bool) error {
	e := &a.edits
	if err := e.fits(there); err != nil {
		return err
	}
	if e.add {
		a.out.Add(e.name, e.owner)
	}
	e.next()
	return nil
}

// edits reads several Edits as one sorted list.
type edits struct {
	edit           // the one that comes next
	order  Order   // of the entries
	others []*edit // those that have more, in reverse order
}

func newEdits(order Order, all []Edit) edits {
	es := edits{order: order}
	if len(all) == 1 {
		es.edit = newEdit(all[0])
		return es
	}
	read := make([]edit, len(all))
	for i := range all {
		if read[i] = newEdit(all[i]); read[i].more {
			es.others = append(es.others, &read[i])
		}
	}
	slices.SortFunc(es.others, func(a, b *edit) int { return es.compare(b, a) })
	es.take()
	return es
}

func (es *edits) compare(a, b *edit) int { return es.order.compare(a.name, a.owner, b.name, b.owner) }

// take takes the first of the others.
func (es *edits) take() {
	if last := len(es.others) - 1; last >= 0 {
		es.edit, es.others = *es.others[last], es.others[:last]
	}
}

// next moves to the next change.
func (es *edits) next() {
	es.edit.next()
	switch last := len(es.others) - 1; {
	case last < 0:
	case !es.more:
		es.take()
	case es.compare(&es.edit, es.others[last]) > 0:
		this := es.edit
		es.take()
		at, _ := slices.BinarySearchFunc(es.others, &this, func(a, b *edit) int { return es.compare(b, a) })
		es.others = slices.Insert(es.others, at, &this)
	}
}

// edit reads the removed and the added names of an Edit as one sorted list.
type edit struct {
	removed, added         Cursor
	moreRemoved, moreAdded bool

	more  bool
	name  []byte
	owner uint32
	add   bool
	twice bool // the name is in both
}

func newEdit(of Edit) edit {
	e := edit{owner: of.Owner}
	e.removed.Reset(of.Removed)
	e.added.Reset(of.Added)
	e.moreRemoved, e.moreAdded = e.removed.Next(), e.added.Next()
	e.choose()
	return e
}

func (e *edit) next() {
	if e.add {
		e.moreAdded = e.added.Next()
	} else {
		e.moreRemoved = e.removed.Next()
	}
	e.choose()
}

func (e *edit) choose() {
	e.more = e.moreRemoved || e.moreAdded
	order := -1
	switch {
	case !e.moreRemoved:
		order = 1
	case e.moreAdded:
		order = bytes.Compare(e.removed.name, e.added.name)
	}
	e.twice = order == 0
	if e.add = order > 0; e.add {
		e.name = e.added.name
	} else {
		e.name = e.removed.name
	}
}

// fits returns what is wrong with the change, if there says whether its entry exists.
func (e *edit) fits(there bool) error {
	switch {
	case e.twice:
		return fmt.Errorf("%q is both removed and added", e.name)
	case e.add && there:
		return fmt.Errorf("added %q is there already", e.name)
	case !e.add && !there:
		return fmt.Errorf("removed %q is not there", e.name)
	}
	return nil
}
