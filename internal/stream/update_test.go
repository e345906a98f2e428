package stream

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"scout/internal/files"
)

func TestUpdateParts(t *testing.T) {
	large, small, none := many(50_000), setOf("x", "y"), setOf()
	for _, tc := range []struct {
		name     string
		from, to *files.Set
		single   bool // fits one message
	}{
		{"nothing", none, none, true},
		{"one file", none, small, true},
		{"rename", setOf("x", "z"), small, true},
		{"many added", none, large, false},
		{"many removed", large, none, false},
		{"all replaced", large, small, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var in incoming
			parts := 0
			more := true
			for part := range (update{revision: 7, delta: files.Diff(tc.from, tc.to), set: tc.to}).parts() {
				if !more {
					t.Fatal("a part follows the last")
				}
				if size := proto.Size(part); size > partSize+1<<10 {
					t.Errorf("a part of %d bytes", size)
				}
				if len(part.Removed) > 0 && in.added.Len() > 0 {
					t.Error("removed after added")
				}
				if err := in.append(part); err != nil {
					t.Fatal(err)
				}
				if last := !part.More; last && (part.Count != uint64(tc.to.Len()) || part.Digest != tc.to.Digest()) {
					t.Errorf("the last part says %d, %x", part.Count, part.Digest)
				}
				more = part.More
				parts++
			}
			if more || tc.single != (parts == 1) {
				t.Errorf("%d parts, more to come: %v", parts, more)
			}
			got, err := tc.from.Apply(files.Delta{Removed: in.removed.Set(), Added: in.added.Set()})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(namesOf(got), namesOf(tc.to)) {
				t.Error("what arrives is not what was sent")
			}
		})
	}
}
