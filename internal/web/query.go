package web

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"scout/internal/files"
)

// query is what a request to /files asks for, checked and in one canonical
// form. Conditions of one kind are alternatives, those of different kinds must
// all hold; a kind without conditions holds for everything.
type query struct {
	hosts       []string // ascending
	directories []string // ascending
	prefixes    [][]byte // of filenames; ascending, none covers another
	globs       []glob   // on filenames; ascending
}

// parameters read the values of a parameter, of which there is at least one,
// into a query.
var parameters = map[string]func(q *query, values []string) error{
	"host":      func(q *query, values []string) error { return parseNames(&q.hosts, values) },
	"directory": func(q *query, values []string) error { return parseNames(&q.directories, values) },
	"prefix":    (*query).parsePrefixes,
	"match":     (*query).parseGlobs,
}

// parseQuery reads the query of a URL. The error is for the client.
func parseQuery(raw string) (*query, error) {
	values, err := url.ParseQuery(raw) // strict, where URL.Query drops in silence
	if err != nil {
		return nil, fmt.Errorf("the query is not well-formed: %w", err)
	}
	q := new(query)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parse := parameters[name]
		if parse == nil {
			known := slices.Sorted(maps.Keys(parameters))
			return nil, fmt.Errorf("unknown parameter %.40q; /files knows %s", name, strings.Join(known, ", "))
		}
		if err := parse(q, values[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return q, nil
}

func parseNames(to *[]string, values []string) error {
	if slices.Contains(values, "") {
		return fmt.Errorf("is empty; leave it out to ask for all")
	}
	*to = slices.Compact(slices.Sorted(slices.Values(values)))
	return nil
}

func (q *query) parsePrefixes(values []string) error {
	var prefixes [][]byte
	for _, v := range values {
		prefixes = append(prefixes, []byte(v))
	}
	if prefixes = reduce(prefixes); len(prefixes[0]) > 0 {
		q.prefixes = prefixes // an empty one is that of all names
	}
	return nil
}

// reduce sorts prefixes and leaves out those that another covers.
func reduce(prefixes [][]byte) (least [][]byte) {
	slices.SortFunc(prefixes, bytes.Compare)
	for _, p := range prefixes {
		if n := len(least); n == 0 || !bytes.HasPrefix(p, least[n-1]) {
			least = append(least, p)
		}
	}
	return least
}

func (q *query) parseGlobs(values []string) error {
	if len(values) > maxGlobs {
		return fmt.Errorf("given %d times; at most %d can be asked for at once", len(values), maxGlobs)
	}
	for _, v := range slices.Compact(slices.Sorted(slices.Values(values))) {
		g, err := parseGlob(v)
		if err != nil {
			return err
		}
		q.globs = append(q.globs, g)
	}
	return nil
}

// selects reports whether an entry is one that the query asks for, whatever its
// limit. It may be called by many at once, and does not keep name.
func (q *query) selects(name []byte, o files.Origin) bool {
	return q.selectsOrigin(o) && q.hasPrefix(name) && q.matches(name)
}

// selectsAll reports whether the query asks for every entry.
func (q *query) selectsAll() bool {
	return q.hosts == nil && q.directories == nil && q.prefixes == nil && q.globs == nil
}

func (q *query) selectsOrigin(o files.Origin) bool {
	return among(q.hosts, o.Host) && among(q.directories, o.Directory)
}

func among(sorted []string, s string) bool {
	if sorted == nil {
		return true
	}
	_, found := slices.BinarySearch(sorted, s)
	return found
}

func (q *query) hasPrefix(name []byte) bool {
	if q.prefixes == nil {
		return true
	}
	i, found := slices.BinarySearchFunc(q.prefixes, name, bytes.Compare)
	return found || i > 0 && bytes.HasPrefix(name, q.prefixes[i-1])
}

func (q *query) matches(name []byte) bool {
	return q.globs == nil || slices.ContainsFunc(q.globs, func(g glob) bool { return g.matches(name) })
}
