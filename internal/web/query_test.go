package web

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
)

// entry is an entry as tests compare them.
type entry struct {
	name string
	files.Origin
}

// admits is selects as docs/http-api.md describes it, without any optimisation.
func admits(conditions url.Values, e entry) bool {
	fold := func(s string) string { return s }
	if conditions.Get("ignore_case") == "true" {
		fold = lower
	}
	name := fold(e.name)
	some := func(kind string, holds func(v string) bool) bool {
		return !conditions.Has(kind) || slices.ContainsFunc(conditions[kind], holds)
	}
	return some("host", func(v string) bool { return v == e.Host }) &&
		some("directory", func(v string) bool { return v == e.Directory }) &&
		some("prefix", func(v string) bool { return strings.HasPrefix(name, fold(v)) }) &&
		some("match", func(v string) bool { return doublestar.MatchUnvalidated(fold(v), name) })
}

// lower puts each letter into lower case and keeps bytes that are not UTF-8.
func lower(s string) (folded string) {
	for i, r := range s {
		if r == utf8.RuneError {
			_, n := utf8.DecodeRuneInString(s[i:])
			folded += s[i : i+n]
		} else {
			folded += strings.ToLower(string(r))
		}
	}
	return folded
}

var (
	someParts  = []string{"a", "b", "ab", "a.b", "logs", "logs.old", "\xff", "é", "a\nb", "*", "\ufffd", "A", "aB", "É", "LOGS"}
	someHosts  = []string{"web-01", "web-02", "db", "é&=%"}
	someDirs   = []string{"/", "/srv", "/srv/data", "/\xff"}
	somePrefix = []string{"", "a", "a/", "logs", "logs/", "l", "\xff", "zz", "a/b/", "logs.", "é", "LO", "É", "\xc3"}
	someGlobs  = []string{
		"**", "*", "a", "a/*", "a/**", "logs/**", "**/b", "*/*", "?", "**/a*", "[!a]*", "{a,logs}/**", "a{,/**}", "**/{b,é}",
		`\*`, "l*/**/b", "\ufffd", "**/\ufffd", "logs{,.old}/*", "**/**", "logs/**/**", "a/**/", "x{a,b}", "*.b", "**/*.b", "**/*", "logs/**/*", "a/**/*b", "a/**/*/b", "x**/*b", "{a,b}/**/*b", "**/*[b]", "**/*b/**", "**/*B", "[A-B]*", "É/**",
	}
)

func pick(r *rand.Rand, some []string) string { return some[r.IntN(len(some))] }

func randomName(r *rand.Rand) string {
	parts := []string{pick(r, someParts)}
	for r.IntN(2) == 0 {
		parts = append(parts, pick(r, someParts))
	}
	return strings.Join(parts, "/")
}

// randomListing returns a Listing, some of it merged, and its entries in order.
func randomListing(t *testing.T, r *rand.Rand) (l *listing.Listing, all []entry) {
	l = listing.New()
	for _, host := range someHosts {
		for _, directory := range someDirs {
			if r.IntN(3) == 0 {
				continue
			}
			names := map[string]bool{}
			for range r.IntN(300) {
				names[randomName(r)] = true
			}
			o := files.Origin{Host: host, Directory: directory}
			var list []string
			for n := range names {
				list = append(list, n)
			}
			s := l.Show(o, filestest.Set(list...), nil)
			switch r.IntN(6) {
			case 0:
				merge(t, l)
			case 1:
				l.Drop(s)
				continue
			}
			for n := range names {
				all = append(all, entry{n, o})
			}
		}
	}
	slices.SortFunc(all, compareEntries)
	return l, all
}

func compareEntries(a, b entry) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return a.Origin.Compare(b.Origin)
}

func randomConditions(r *rand.Rand) url.Values {
	conditions := url.Values{}
	for kind, some := range map[string][]string{"host": someHosts, "directory": someDirs, "prefix": somePrefix, "match": someGlobs} {
		for r.IntN(2) == 0 {
			conditions.Add(kind, pick(r, some))
		}
	}
	if r.IntN(3) == 0 {
		conditions.Set("ignore_case", pick(r, []string{"true", "true", "false"}))
	}
	return conditions
}

func TestSelectionAgainstFilter(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		l, all := randomListing(t, r)
		for range 40 {
			conditions := randomConditions(r)
			q, err := parseQuery(conditions.Encode())
			if err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return !admits(conditions, e) })
			var got []entry
			for s := newSelection(l.Current(), q, nil); s.Next(); {
				got = append(got, entry{string(s.Name()), s.Source().Origin})
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %q: %d entries of %d, want %d", seed, conditions, len(got), len(all), len(want))
			}
			for _, e := range all {
				if admits(conditions, e) != q.selects([]byte(e.name), e.Origin) {
					t.Fatalf("%q: %q is selected: %v", conditions, e, q.selects([]byte(e.name), e.Origin))
				}
			}
		}
	}
}

func TestBadQueries(t *testing.T) {
	for raw, want := range map[string]string{
		"colour=red":                             `unknown parameter "colour"`,
		"Host=web-01":                            `unknown parameter "Host"`,
		"prefix=%zz":                             "not well-formed",
		"a;b":                                    "not well-formed",
		"host=":                                  "host: is empty",
		"directory=&directory=/srv":              "directory: is empty",
		"match":                                  "match: a pattern is empty",
		"match=%5B":                              "is not a glob pattern",
		"match=a%7Bb":                            "is not a glob pattern",
		"match=a%5C":                             "is not a glob pattern",
		"match=%FF*":                             "is not UTF-8",
		"match=/srv/*":                           "can match nothing",
		"match=logs/":                            "can match nothing",
		"match=" + strings.Repeat("x", 1025):     "at most 1024",
		"match=" + strings.Repeat("{a,a}", 9):    "combinations of alternatives",
		"match=" + strings.Repeat("{{a}}", 9):    "combinations of alternatives",
		"match=" + strings.Repeat("{a,[}]b}", 9): "combinations of alternatives",
		"limit=0":                                `limit: "0" is not a number from 1`,
		"limit=%2B1":                             "is not a number from 1",
		"limit=-1":                               "is not a number from 1",
		"limit=1e3":                              "is not a number from 1",
		"limit=":                                 "is not a number from 1",
		"limit=1000001":                          "to 1000000",
		"limit=99999999999999999999":             "to 1000000",
		"limit=1&limit=1":                        "limit: given 2 times",
		"format=xml":                             "there are json, ndjson, text, nul",
		"format=":                                "there are json",
		"format=json&format=text":                "format: given 2 times",
		"after=":                                 "after: is not a cursor",
		"after=AAAA":                             "after: is not a cursor",
		"after=%0A":                              "after: is not a cursor",
		"from=a&offset=1":                        "give one of them",
		"offset=-1":                              "offset: \"-1\" is not a number",
		"count=yes":                              "count: \"yes\" is neither true nor false",
		"ignore_case=1":                          "ignore_case: \"1\" is neither",
		"count=true&count=true":                  "count: given 2 times",
		strings.Repeat("match=a&", 33):           "given 33 times",
	} {
		if _, err := parseQuery(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want %q", raw, err, want)
		}
	}
}

// A query in its canonical form is that query.
func FuzzQuery(f *testing.F) {
	f.Add("host=b&host=a&directory=/srv&prefix=ab&prefix=a&prefix=%ff&match=**/*.{log,gz}")
	f.Add("limit=10&format=ndjson")
	f.Add("after=AAAA")
	f.Add("match=**/*.LOG&match=%C8%BA*&prefix=A&prefix=a&ignore_case=true&offset=3&count=true")
	f.Add("prefix=&prefix=a&match=%5B!a%5D")
	f.Add("limit=0&limit=1&colour=red&;&%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err != nil {
			return
		}
		again, err := parseQuery(q.canonical())
		if err != nil {
			t.Fatalf("%q: %v", q.canonical(), err)
		}
		if again.canonical() != q.canonical() || again.hash() != q.hash() {
			t.Fatalf("%q became %q", q.canonical(), again.canonical())
		}
		name, o := []byte("logs/a.log"), files.Origin{Host: "a", Directory: "/srv"}
		if q.selects(name, o) != again.selects(name, o) {
			t.Fatalf("%q and %q do not select the same", raw, q.canonical())
		}
	})
}

// A cursor is what it was made of, or refused.
func FuzzCursor(f *testing.F) {
	c := &cursor{epoch: 1, query: 2, position: position{name: []byte("a\xff"), origin: files.Origin{Host: "h", Directory: "/"}}}
	f.Add(c.String(), "name", "host", "/directory")
	f.Add("", "", "", "")
	f.Add("_-__", "a\nb", "\xff", "/\x00")
	f.Fuzz(func(t *testing.T, text, name, host, directory string) {
		if c, err := parseCursor(text); err == nil && c.String() != text {
			t.Fatalf("%q became %q", text, c)
		}
		c := &cursor{epoch: 1 << 63, query: 3, position: position{[]byte(name), files.Origin{Host: host, Directory: directory}}}
		text = c.String()
		again, err := parseCursor(text)
		if err != nil || again.compare([]byte(name), c.origin) != 0 || again.epoch != c.epoch || again.query != c.query {
			t.Fatalf("%q: %v, %v", text, again, err)
		}
		if url.QueryEscape(text) != text {
			t.Fatalf("%q has to be quoted", text)
		}
	})
}

// selects reports whether the query asks for an entry, whatever its limit.
func (q *query) selects(name []byte, o files.Origin) bool {
	return q.selectsOrigin(o) && q.selectsName(name, new([]byte))
}
