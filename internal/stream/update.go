package stream

import (
	"bytes"
	"iter"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// partSize is how many bytes of names go into one message: soon through even on
// a slow link, where each message is a sign of life.
const partSize = 32 << 10

// update is what a scout sends to make the master show set.
type update struct {
	reset    bool
	revision uint64
	delta    files.Delta
	set      *files.Set
}

// parts yields the messages of u: first what is removed, then what is added.
func (u update) parts() iter.Seq[*scoutv1.Update] {
	return func(yield func(*scoutv1.Update) bool) {
		// Only the last message says that it is the last, so each is held back
		// until it is known whether another follows.
		held := u.part()
		for names := range u.delta.Removed.Parts(partSize) {
			if len(held.Removed) > 0 {
				if !yield(held) {
					return
				}
				held = u.part()
			}
			held.Removed = bytes.Clone(names)
		}
		for names := range u.delta.Added.Parts(partSize) {
			if !hasRoom(held, names) {
				if !yield(held) {
					return
				}
				held = u.part()
			}
			held.Added = bytes.Clone(names)
		}
		held.More = false
		held.Count, held.Digest = uint64(u.set.Len()), u.set.Digest()
		yield(held)
	}
}

// part is a message of u without names, not the last.
func (u update) part() *scoutv1.Update {
	return &scoutv1.Update{Revision: u.revision, Reset_: u.reset, More: true}
}

// hasRoom reports whether added names fit into part: the last of the removed
// ones and the first of the added ones often do, and a small change is one
// message.
func hasRoom(part *scoutv1.Update, added []byte) bool {
	return len(part.Added) == 0 && (len(part.Removed) == 0 || len(part.Removed)+len(added) <= partSize)
}
