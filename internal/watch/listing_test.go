package watch

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func FuzzListingSort(f *testing.F) {
	f.Add([]byte("b\na/\na.txt\na0\na\na-\na/\n"))
	f.Add([]byte("file-00001\nfile-00000\nfile-00000/\nfile\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var l listing
		var want []string
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			name, sub := bytes.CutSuffix(line, []byte("/"))
			if len(name) == 0 || len(name) > 255 || bytes.ContainsAny(name, "/\x00") {
				continue
			}
			l.add(name, sub)
			want = append(want, string(line))
		}
		slices.Sort(want)
		want = slices.Compact(want)
		l.sort()
		var got []string
		for _, e := range l.entries {
			name := string(l.name(e))
			if strings.HasSuffix(name, "/") != e.sub {
				t.Errorf("%q is a directory: %v", name, e.sub)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCompareDirectories(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		b := make([]byte, 1+r.IntN(3))
		for i := range b {
			b[i] = "-./0a\xff"[r.IntN(6)]
			if b[i] == '/' {
				b[i] = '.'
			}
		}
		return string(b)
	}
	for range 10_000 {
		a, b := name(), name()
		got, want := compareDirectories(a, b), strings.Compare(a+"/", b+"/")
		if got > 0 != (want > 0) || got < 0 != (want < 0) {
			t.Fatalf("compare %q with %q: %d, want %d", a, b, got, want)
		}
	}
}

func TestChangesThatCancel(t *testing.T) {
	var c changes
	for _, n := range []string{"a/3", "a/1", "a/2"} {
		c.remove([]byte(n))
	}
	for _, n := range []string{"b", "a/4", "a/2", "a/1"} {
		c.add([]byte(n))
	}
	d := c.take()
	if got := strings.Join(names(d.Added), " ") + " | " + strings.Join(names(d.Removed), " "); got != "a/4 b | a/3" {
		t.Errorf("got %s", got)
	}
	if !c.empty() || !c.take().Empty() {
		t.Error("changes were not forgotten")
	}
}
