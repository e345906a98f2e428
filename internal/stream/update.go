package stream

import (
	"bytes"
	"iter"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// partSize is the size of the names in one message, in bytes. It is small because each
// message is a sign of life, also on a slow link.
const partSize = 32 << 10

// update is an update that makes the master show set.
type update struct {
	reset    bool
	revision uint64
	delta    files.Delta
	set      *files.Set
}

// parts yields the messages of u: removed names first, then added ones.
func (u update) parts() iter.Seq[*scoutv1.Update] {
	return func(yield func(*scoutv1.Update) bool) {
		// The last message is marked, so each message is held back until it is known
		// whether another one follows.
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

// part returns a message of u without names that is not the last one.
func (u update) part() *scoutv1.Update {
	return &scoutv1.Update{Revision: u.revision, Reset_: u.reset, More: true}
}

// hasRoom reports whether added names fit into part. So a small change with removed and
// added names is one message.
func hasRoom(part *scoutv1.Update, added []byte) bool {
	return len(part.Added) == 0 && (len(part.Removed) == 0 || len(part.Removed)+len(added) <= partSize)
}
