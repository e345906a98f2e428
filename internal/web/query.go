package web

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"scout/internal/files"
	"scout/internal/glob"
	"scout/internal/render"
)

// query is what a request to /files asks for, checked and in one canonical
// form. Conditions of one kind are alternatives, those of different kinds must
// all hold; a kind without conditions holds for everything.
type query struct {
	hosts       []string       // ascending
	directories []string       // ascending
	prefixes    [][]byte       // of filenames; ascending, none covers another
	globs       []glob.Pattern // on filenames; ascending
	ignoreCase  bool           // prefixes and globs are in lower case, and match names in lower case

	limit  int           // the most entries in one answer; 0: no limit
	after  *cursor       // where the answer begins; nil: at the beginning of the list
	from   []byte        // the answer begins at the first filename that is not less; nil: likewise
	offset int           // how many entries the answer skips, from the beginning of the list
	count  bool          // the answer says how many entries the conditions select
	format render.Format // AnyFormat if it is to be negotiated

	watch       bool          // changes are asked for, not only the list
	lastEventID *eventID      // the last event that the client has; nil: none
	fresh       time.Duration // how long scouts may rescan their disks; 0: they need not
	wait        time.Duration // how long to wait for a change; 0: not at all
}

// maxLimit is the largest limit: longer lists are better asked for without one.
const maxLimit = 1_000_000

// maxGlobs is how many patterns one request may have matched against every name.
const maxGlobs = 32

// parameters parse the values of a parameter, at least one, into a query.
var parameters = map[string]func(q *query, values []string) error{
	"host":      func(q *query, values []string) error { return parseNames(&q.hosts, values) },
	"directory": func(q *query, values []string) error { return parseNames(&q.directories, values) },
	"prefix":    (*query).parsePrefixes,
	"match":     (*query).parseGlobs,
	"limit":     single((*query).parseLimit),
	"from":      single((*query).parseFrom),
	"offset":    single((*query).parseOffset),
	"count":     single(parseFlag(func(q *query) *bool { return &q.count })),
	"after":     single((*query).parseAfter),
	"format":    single((*query).parseFormat),

	"fresh":         single((*query).parseFresh),
	"ignore_case":   single(parseFlag(func(q *query) *bool { return &q.ignoreCase })),
	"watch":         single(parseFlag(func(q *query) *bool { return &q.watch })),
	"last_event_id": single((*query).parseLastEventID),
	"wait":          single((*query).parseWait),
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
	if q.ignoreCase {
		q.fold()
	}
	err = q.checkBeginning()
	return q, err
}

// checkBeginning returns an error if the answer has several beginnings.
func (q *query) checkBeginning() error {
	beginnings := 0
	for _, given := range []bool{q.after != nil, q.from != nil, q.offset > 0} {
		if given {
			beginnings++
		}
	}
	if beginnings > 1 {
		return errors.New("after, from and offset: give one of them; each says where the answer begins")
	}
	return nil
}

// fold puts the conditions on filenames into lower case.
func (q *query) fold() {
	for i, p := range q.prefixes {
		q.prefixes[i] = appendFolded(nil, p)
	}
	if q.prefixes != nil {
		q.prefixes = reduce(q.prefixes)
	}
	for i := range q.globs {
		folded, err := glob.Parse(string(appendFolded(nil, []byte(q.globs[i].String()))))
		if err == nil { // otherwise it matches itself, and so nothing in lower case
			q.globs[i] = folded
		}
	}
}

// appendFolded appends a name in lower case, letter by letter as Unicode maps them.
// Bytes that are not UTF-8 stay as they are.
func appendFolded(to, name []byte) []byte {
	for len(name) > 0 {
		if c := name[0]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			to, name = append(to, c), name[1:]
			continue
		}
		r, n := utf8.DecodeRune(name)
		if r == utf8.RuneError {
			to = append(to, name[:n]...)
		} else {
			to = utf8.AppendRune(to, unicode.ToLower(r))
		}
		name = name[n:]
	}
	return to
}

// single returns the parser of a parameter that may be given once.
func single(parse func(q *query, value string) error) func(*query, []string) error {
	return func(q *query, values []string) error {
		if len(values) > 1 {
			return fmt.Errorf("given %d times; give it once", len(values))
		}
		return parse(q, values[0])
	}
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

// reduce sorts prefixes and drops those that another one covers.
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
		g, err := glob.Parse(v)
		if err != nil {
			return err
		}
		q.globs = append(q.globs, g)
	}
	return nil
}

func (q *query) parseLimit(value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < 1 || n > maxLimit {
		return fmt.Errorf("%.40q is not a number from 1 to %d", value, maxLimit)
	}
	q.limit = int(n)
	return nil
}

func (q *query) parseAfter(value string) (err error) {
	q.after, err = parseCursor(value)
	return err
}

func (q *query) parseFrom(value string) error {
	q.from = []byte(value)
	return nil
}

func (q *query) parseOffset(value string) error {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return fmt.Errorf("%.40q is not a number of entries to skip", value)
	}
	q.offset = int(min(n, math.MaxInt))
	return nil
}

func (q *query) parseFormat(value string) error {
	if q.format = render.FormatNamed(value); q.format == render.AnyFormat {
		return fmt.Errorf("%.40q is unknown; there are %s", value, formatNames())
	}
	return nil
}

// longestRescan bounds fresh, and longestWait wait: few proxies are patient enough
// for more.
const (
	longestRescan = time.Minute
	longestWait   = 5 * time.Minute
)

func (q *query) parseFresh(value string) (err error) {
	q.fresh, err = parseDuration(value, longestRescan)
	return err
}

func (q *query) parseWait(value string) (err error) {
	q.wait, err = parseDuration(value, longestWait)
	return err
}

func parseDuration(value string, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%.40q is not a duration such as 500ms, 30s or 1m30s", value)
	case d <= 0 || d > most:
		return 0, fmt.Errorf("%.40q is not more than 0 and at most %s", value, most)
	}
	return d, nil
}

// parseFlag returns the parser of a parameter that is true or false.
func parseFlag(flag func(*query) *bool) func(*query, string) error {
	return func(q *query, value string) error {
		if value != "true" && value != "false" {
			return fmt.Errorf("%.40q is neither true nor false", value)
		}
		*flag(q) = value == "true"
		return nil
	}
}

func (q *query) parseLastEventID(value string) error {
	id, err := parseEventID(value)
	if err != nil {
		return fmt.Errorf("%.60q %w", value, err)
	}
	q.lastEventID = &id
	return nil
}

// selectsName reports whether the conditions on filenames hold. buf is for the name
// in lower case; the caller keeps it for the next name.
func (q *query) selectsName(name []byte, buf *[]byte) bool {
	if q.ignoreCase {
		*buf = appendFolded((*buf)[:0], name)
		name = *buf
	}
	return q.hasPrefix(name) && q.matchesGlob(name)
}

// selectsInRange is selectsName for a name that is in one of q.ranges.
func (q *query) selectsInRange(name []byte, buf *[]byte) bool {
	if q.ignoreCase {
		return q.selectsName(name, buf)
	}
	return q.matchesGlob(name)
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

func (q *query) matchesGlob(name []byte) bool {
	return q.globs == nil || slices.ContainsFunc(q.globs, func(g glob.Pattern) bool { return g.Match(name) })
}

// canonical returns the conditions as the query of a URL. It is the same for
// queries with the same conditions, however they are written.
func (q *query) canonical() string {
	values := url.Values{}
	if q.hosts != nil {
		values["host"] = q.hosts
	}
	if q.directories != nil {
		values["directory"] = q.directories
	}
	for _, p := range q.prefixes {
		values.Add("prefix", string(p))
	}
	for i := range q.globs {
		values.Add("match", q.globs[i].String())
	}
	if q.ignoreCase && (q.prefixes != nil || q.globs != nil) {
		values.Set("ignore_case", "true")
	}
	return values.Encode()
}

// hash tells queries with different conditions apart.
func (q *query) hash() uint64 { return xxhash.Sum64String(q.canonical()) }
