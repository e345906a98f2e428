package index

import "bytes"

// Diff calls removed for each name that only from has, and added for each name
// that only to has, in order. Neither may have two entries with one name.
//
// It skips shared blocks and leaves: the Diff of an Index and the result of Apply
// is as cheap as Apply.
func Diff(from, to *Index, removed, added func(name []byte)) {
	f, t := from.Cursor(), to.Cursor()
	moreF, moreT := nextBoth(f, t)
	for moreF || moreT {
		order := -1
		switch {
		case !moreF:
			order = 1
		case moreT:
			order = bytes.Compare(f.name, t.name)
		}
		switch {
		case order < 0:
			removed(f.name)
			moreF = f.Next()
		case order > 0:
			added(t.name)
			moreT = t.Next()
		default:
			moreF, moreT = nextBoth(f, t)
		}
	}
}

// nextBoth moves both cursors to their next entries, and skips shared blocks and
// leaves.
func nextBoth(f, t *Cursor) (moreF, moreT bool) {
	for f.left == 0 && t.left == 0 || f.atStart() && t.atStart() {
		if !f.skipShared(t) {
			break
		}
	}
	return f.Next(), t.Next()
}

// skipShared moves both cursors, which are between blocks, over one shared leaf or
// block, and reports whether there was one.
func (c *Cursor) skipShared(d *Cursor) bool {
	if c.left == 0 && !c.step() || d.left == 0 && !d.step() {
		return false
	}
	if !c.atStart() || !d.atStart() {
		return false
	}
	cl, dl := c.ix.leaves[c.leaf], d.ix.leaves[d.leaf]
	if c.block == 0 && d.block == 0 && cl == dl {
		c.block, d.block = len(cl.blocks)-1, len(dl.blocks)-1
	} else if !cl.blocks[c.block].same(&dl.blocks[d.block]) {
		return false
	}
	c.left, d.left = 0, 0
	return true
}
