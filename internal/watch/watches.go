package watch

// setWatch watches the directory at path and returns the number of the watch,
// or 0 when it cannot be watched.
func (t *tree) setWatch(path string) uint32 {
	if t.notifier == nil || t.limits.reached.Load() {
		return 0
	}
	if err := t.notifier.watch(t.absolute(path)); err != nil {
		t.limits.refused(t.absolute(path), err)
		return 0
	}
	return t.watches.Add(1)
}

// canWatch reports whether it is worth trying to watch d, which is not.
func (t *tree) canWatch(d *directory) bool {
	return d.watch == 0 && t.notifier != nil && !t.limits.reached.Load() &&
		t.owners[d.stamp.identity] == nil
}

// tidy ends the watching of directories, for now. What a link leads to may have
// lost its watch in that: it is watched again.
func (t *tree) tidy() {
	if t.notifier == nil {
		return
	}
	for range swaps {
		links := t.notifier.tidy()
		if len(links) == 0 {
			return
		}
		for _, path := range links {
			if d := t.owners[followed(path)]; d != nil {
				t.relist(d, true)
			}
		}
	}
}

// own settles whose watch it is when one directory is known under two paths,
// because it was moved a moment ago or is mounted twice: notifications name the
// path that was watched last.
func (t *tree) own(d *directory) {
	if d.watch == 0 || d.stamp.ino == 0 {
		return
	}
	loser := t.owners[d.stamp.identity]
	if loser == d {
		return
	}
	if loser == nil || loser.watch < d.watch {
		t.owners[d.stamp.identity] = d
	} else {
		loser = d
	}
	if loser != nil {
		t.count(loser, -1)
		loser.watch = 0
		t.count(loser, +1)
	}
}

func (t *tree) disown(d *directory) {
	if t.owners[d.stamp.identity] == d {
		delete(t.owners, d.stamp.identity)
	}
}
