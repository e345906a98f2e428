package index

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// unpackAll unpacks parts as they travel, and joins them.
func unpackAll(parts [][]byte, order Order) (*Index, []entry, error) {
	var all []*Index
	var seen []entry
	for _, p := range parts {
		var last []byte
		ix, err := Unpack(p, order, func(name []byte, shared int, owner uint32) error {
			if shared > len(last) || !bytes.Equal(name[:shared], last[:shared]) {
				return fmt.Errorf("%q does not share %d bytes with %q", name, shared, last)
			}
			last = append(last[:0], name...)
			seen = append(seen, entry{string(name), owner})
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		all = append(all, ix)
	}
	ix, err := Join(order, all)
	return ix, seen, err
}

// Entries survive the way to another process, in parts of any size, with and without
// some of the owners.
func TestPackAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		order := Order(backwards)
		var want []entry
		var inputs []*Index
		for owner := range uint32(1 + r.IntN(8)) {
			names := map[string]bool{}
			prefix := cond(r.IntN(2) == 0, fmt.Sprintf("%d/", owner), "")
			for range r.IntN(6000) {
				names[prefix+randomName(r)] = true
			}
			inputs = append(inputs, sortedIndex(names).Owned(owner))
			want = append(want, list(inputs[owner])...)
		}
		slices.SortFunc(want, compareEntries(order))
		all := Merge(order, func(uint32) bool { return true }, inputs...)
		kept := slices.DeleteFunc(slices.Clone(want), func(e entry) bool { return e.owner%2 == 0 })
		limit := 1 + r.IntN(20_000)
		for _, tc := range []struct {
			keep func(uint32) bool
			want []entry
		}{
			{nil, want},
			{func(uint32) bool { return true }, want},
			{func(owner uint32) bool { return owner%2 > 0 }, kept},
			{func(uint32) bool { return false }, nil},
		} {
			got, seen, err := unpackAll(slices.Collect(all.Pack(limit, tc.keep)), order)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			check(t, got, tc.want)
			if !slices.Equal(seen, tc.want) {
				t.Fatalf("seed %d: %d entries were checked of %d", seed, len(seen), len(tc.want))
			}
		}
	}
}

// pack returns blocks, each with its number of entries and its owner, or -1.
func pack(n, owner int, data string) []byte {
	return appendBlock(nil, &block{data: []byte(data), n: uint32(n), owner: uint32(owner)})
}

func TestUnpackRefuses(t *testing.T) {
	for _, tc := range []struct {
		part []byte
		want string
	}{
		{pack(0, 0, ""), "0 entries"},
		{pack(unpackMost+1, 0, strings.Repeat("\x00\x01a", 2000)), "1025 entries"},
		{pack(1, 0, ""), "cut short"},
		{pack(1, 0, "\x00"), "cut short"},
		{pack(1, 0, "\x00\x02a"), "cut short"},
		{pack(2, 0, "\x00\x01a"), "cut short"},
		{pack(1, -1, "\x00\x01a"), "cut short"},
		{pack(1, -1, "\x00\x01a\x80"), "cut short"},
		{pack(1, -1, "\x00\x01a\xff\xff\xff\xff\x0f"), "cut short"}, // the owner that stands for mixed
		{pack(1, 0, "\x00\x01a")[:5], "cut short"},
		{[]byte{1, 0xff, 0xff, 0xff, 0xff, 0x1f, 0}, "owner"},
		{pack(1, 0, "\x00\x01ab"), "behind its last entry"},
		{pack(1, 0, "\x01\x01a"), "not whole"},
		{pack(1, 0, "\x80\x00\x01a"), "not whole"},
		{pack(2, 0, "\x00\x01a\x02\x01b"), "shares 2 bytes with one of 1"},
		{pack(2, 0, "\x00\x01a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01b"), "cut short"},
		{pack(2, 0, "\x00\x01b\x00\x01a"), "does not sort after"},
		{pack(2, 0, "\x00\x01a\x01\x00"), "owners"},
		{pack(2, -1, "\x00\x01a\x00\x01\x00\x01"), "owners"}, // backwards: 1 sorts before 0
		{slices.Concat(pack(1, 0, "\x00\x01b"), pack(1, 0, "\x00\x01a")), "does not sort after"},
	} {
		_, err := Unpack(tc.part, backwards, func([]byte, int, uint32) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.part, err, tc.want)
		}
	}
	refused := errors.New("refused")
	order := func(_, _ uint32) int { t.Error("an owner is asked for that was refused"); return 0 }
	_, err := Unpack(pack(2, -1, "\x00\x01a\x00\x01\x00\x01"), order, func(_ []byte, _ int, owner uint32) error {
		return cond(owner == 1, refused, nil)
	})
	if !errors.Is(err, refused) {
		t.Errorf("error %v, want that of the check", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(2, -1, "\x00\x01a\x01\x00\x01\x00"), pack(1, 0, "\x00\x01b"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var all []*Index
		for _, p := range [][]byte{first, second} {
			ix, err := Unpack(p, backwards, func([]byte, int, uint32) error { return nil })
			if err != nil {
				return
			}
			all = append(all, ix)
		}
		ix, err := Join(backwards, all)
		if err != nil {
			return
		}
		entries := list(ix)
		for i := 1; i < len(entries); i++ {
			if compareEntries(backwards)(entries[i-1], entries[i]) >= 0 {
				t.Fatalf("taken, though not ascending: %v, %v", entries[i-1], entries[i])
			}
		}
		for _, e := range entries {
			c := ix.Cursor()
			if c.Seek([]byte(e.name)); !c.Next() || string(c.Name()) != e.name {
				t.Fatalf("%q is not found", e.name)
			}
		}
		if again, _, err := unpackAll(slices.Collect(ix.Pack(100, nil)), backwards); err != nil || !slices.Equal(list(again), entries) {
			t.Fatalf("a round trip changed the entries: %v", err)
		}
	})
}
