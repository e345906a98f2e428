package index

// Extract returns a separate Index for each wanted owner that has entries. Blocks
// with a single owner are shared.
//
// It takes about 8 ns for each entry in a mixed block, and almost nothing for the
// other blocks.
func (ix *Index) Extract(wanted func(owner uint32) bool) map[uint32]*Index {
	x := extractor{wanted: wanted, builders: map[uint32]*Builder{}}
	for _, l := range ix.leaves {
		for _, b := range l.blocks {
			switch {
			case b.owner == mixed:
				x.pick(b)
			case wanted(b.owner):
				x.of(b.owner).addBlock(b)
			}
		}
	}
	found := make(map[uint32]*Index, len(x.builders))
	for owner, b := range x.builders {
		found[owner] = b.Index()
	}
	return found
}

type extractor struct {
	wanted   func(owner uint32) bool
	builders map[uint32]*Builder
}

func (x *extractor) of(owner uint32) *Builder {
	b := x.builders[owner]
	if b == nil {
		b = new(Builder)
		x.builders[owner] = b
	}
	return b
}

// pick adds the wanted entries of a mixed block to their builders.
func (x *extractor) pick(b block) {
	var c Cursor
	for c.resetTo(b); c.Next(); {
		if x.wanted(c.owner) {
			x.of(c.owner).Add(c.name, c.owner)
		}
	}
}
