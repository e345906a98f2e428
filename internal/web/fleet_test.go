package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
	"scout/internal/roster"
	"scout/internal/wake"
)

// playedFleet is several scoutmasters that serve the list which one log makes,
// each at its own position. It knows the list at each revision.
type playedFleet struct {
	*testing.T
	log     [][]playedOp // the entries; the first has position 1
	masters []*playedMaster

	mu      sync.Mutex
	lists   map[revisionID][]string // what is listed, sorted
	answers map[string][]byte       // by tag and request
}

// revisionID is a revision of one epoch.
type revisionID struct{ epoch, revision uint64 }

func (r revisionID) before(other revisionID) bool {
	return r.epoch < other.epoch || r.epoch == other.epoch && r.revision < other.revision
}

// playedOp is a part of an entry. The zero playedOp changes nothing.
type playedOp struct {
	epoch          uint64 // begins, unless it is 0
	origin         files.Origin
	show, drop     bool // the whole list added is shown, or none any more
	removed, added []string
}

// playedMaster is a scoutmaster as its handler sees it.
type playedMaster struct {
	*watchLab
	fleet   *playedFleet
	changed wake.Broadcast

	mu      sync.Mutex
	unready error
	since   revisionID // since when it has the history

	// One goroutine writes the list.
	at      int // entries applied
	epoch   uint64
	sources map[files.Origin]*listing.Source
	names   map[files.Origin]map[string]bool
}

const playedDeadline = 3 * time.Second

func newPlayedFleet(t *testing.T, masters int) *playedFleet {
	f := &playedFleet{T: t, lists: map[revisionID][]string{}, answers: map[string][]byte{}}
	for range masters {
		m := &playedMaster{fleet: f}
		l := listing.New()
		l.Watch()
		m.watchLab = serveLab(t, l, m, Options{Watchers: 100, Deadline: playedDeadline})
		f.masters = append(f.masters, m)
	}
	f.append(playedOp{epoch: 1000})
	return f
}

func (m *playedMaster) Barrier(context.Context, func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	return m.list.Current(), nil
}

func (m *playedMaster) Roster() roster.Roster         { return roster.Roster{} }
func (m *playedMaster) ReadyChanged() <-chan struct{} { return m.changed.Wait() }

func (m *playedMaster) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unready
}

// setReady says why the list must not be served.
func (m *playedMaster) setReady(why error) {
	m.mu.Lock()
	m.unready = why
	m.mu.Unlock()
	m.changed.Wake()
}

func (m *playedMaster) setSince(r revisionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = r
}

func (m *playedMaster) historySince() revisionID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since
}

// append adds an entry to the log.
func (f *playedFleet) append(ops ...playedOp) { f.log = append(f.log, ops) }

// follow applies the next entries of the log, at most so many, as one change.
func (m *playedMaster) follow(most int) {
	tx := m.list.Begin()
	for ; most > 0 && m.at < len(m.fleet.log); most-- {
		m.at++
		tx.Advance(uint64(m.at))
		revised := false
		for _, op := range m.fleet.log[m.at-1] {
			revised = m.apply(tx, op) || revised
		}
		if revised {
			m.fleet.note(revisionID{m.epoch, uint64(m.at)}, m.names)
		}
	}
	tx.Commit()
}

// apply applies a part of an entry, and reports whether that makes a revision.
func (m *playedMaster) apply(tx *listing.Tx, op playedOp) (revised bool) {
	source := m.sources[op.origin]
	switch {
	case op.epoch > 0:
		m.epoch = op.epoch
		m.sources, m.names = map[files.Origin]*listing.Source{}, map[files.Origin]map[string]bool{}
		m.setSince(revisionID{m.epoch, uint64(m.at)})
		tx.Restart(m.epoch, uint64(m.at))
		return true
	case op.show:
		revised = len(op.added) > 0 || len(m.names[op.origin]) > 0
		m.sources[op.origin] = tx.Show(op.origin, filestest.Set(op.added...), source)
		m.names[op.origin] = setOf(op.added)
		return revised
	case source == nil:
		return false
	case op.drop:
		revised = len(m.names[op.origin]) > 0
		tx.Drop(source)
		delete(m.sources, op.origin)
		delete(m.names, op.origin)
		return revised
	}
	d := files.Delta{Removed: filestest.Set(op.removed...), Added: filestest.Set(op.added...)}
	if _, err := tx.Change(source, d); err != nil {
		m.Error(err)
	}
	for _, name := range op.removed {
		delete(m.names[op.origin], name)
	}
	maps.Copy(m.names[op.origin], setOf(op.added))
	return true
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// takeState takes the state of another scoutmaster, as one that has missed entries
// does.
func (m *playedMaster) takeState(from *playedMaster) {
	v := from.list.Current()
	tx := m.list.Begin()
	tx.Restart(v.Epoch, v.Position)
	m.at, m.epoch = from.at, from.epoch
	m.sources, m.names = map[files.Origin]*listing.Source{}, map[files.Origin]map[string]bool{}
	for origin, names := range from.names {
		m.names[origin] = maps.Clone(names)
		m.sources[origin] = tx.Show(origin, filestest.Set(slices.Collect(maps.Keys(names))...), nil)
	}
	tx.At(v.Revision)
	m.setSince(revisionID{v.Epoch, v.Revision})
	tx.Commit()
}

// note checks that the list at a revision is the same at all scoutmasters.
func (f *playedFleet) note(r revisionID, names map[files.Origin]map[string]bool) {
	list := []string{}
	for origin, some := range names {
		for name := range some {
			list = append(list, name+"@"+origin.Host)
		}
	}
	slices.Sort(list)
	f.mu.Lock()
	defer f.mu.Unlock()
	if before, ok := f.lists[r]; ok && !slices.Equal(before, list) {
		f.Fatalf("the played log makes two lists at %v", r)
	}
	f.lists[r] = list
}

// listAt returns what is listed at a revision, and false if there is none.
func (f *playedFleet) listAt(r revisionID) ([]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, ok := f.lists[r]
	return list, ok
}

// seen returns the revision in a tag.
func seen(tag string) revisionID {
	epoch, revision, _, _ := parseTag(tag)
	return revisionID{epoch, revision}
}

// namesAndNext returns the entries of a list in JSON, and the cursor after them.
func namesAndNext(t *testing.T, text []byte) (names []string, next string) {
	t.Helper()
	var e struct {
		told
		Next string
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Error(err)
	}
	return e.names(), e.Next
}

// One log makes one list. Readers that go from one scoutmaster to the next with
// each request, whatever its position is, never see time run backwards, walk
// each entry once, and are told each change once.
func TestReadersThatHop(t *testing.T) {
	counts := &hopCounts{n: map[string]int{}}
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			f := newPlayedFleet(t, 3)
			for _, m := range f.masters {
				m.follow(1)
			}
			ctx, stop := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			for n, read := range []func(*hopper){(*hopper).pollTags, (*hopper).walkPages, (*hopper).watch} {
				for i := range 3 {
					h := &hopper{fleet: f, ctx: ctx, rand: rand.New(rand.NewPCG(seed, uint64(10*n+i))), counts: counts}
					readers.Go(func() { read(h) })
				}
			}
			f.live(rand.New(rand.NewPCG(seed, 99)), 300)
			time.Sleep(20 * time.Second)
			stop()
			readers.Wait()
		})
	}
	counts.check(t)
}

// hopCounts counts how often something happened to any reader.
type hopCounts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *hopCounts) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what]++
}

// check checks that the test tests something.
func (c *hopCounts) check(t *testing.T) {
	for _, what := range []string{"200", "304", "/problems/behind", "/problems/cut-off", "/problems/catching-up", "walk", "resumed", "caught up"} {
		if c.n[what] == 0 {
			t.Errorf("%s never happened: %v", what, c.n)
		}
	}
}

// live lets the log grow, and the scoutmasters follow it, each at its own pace.
// One is cut off or lacks the state now and then, and an epoch begins.
func (f *playedFleet) live(r *rand.Rand, steps int) {
	model := map[files.Origin]map[string]bool{}
	var later sync.WaitGroup
	defer later.Wait()
	busy := make([]bool, len(f.masters)) // frozen, cut off, or without the state
	for step := range steps {
		for range r.IntN(4) {
			f.append(randomEntry(r, model)...)
		}
		if step == steps/2 {
			clear(model)
			f.append(playedOp{epoch: 2000})
		}
		for i, m := range f.masters {
			switch n := r.IntN(100); {
			case busy[i] && n < 4:
				busy[i] = false
				if other := f.masters[(i+1)%len(f.masters)]; m.Ready() != nil && other.at > m.at+3 {
					m.takeState(other)
				}
				m.setReady(nil)
			case busy[i]:
			case n < 1:
				busy[i] = true
				m.setReady(roster.ErrCutOff)
			case n < 2:
				busy[i] = true
				m.setReady(roster.ErrNoState)
			case n < 3:
				busy[i] = true
			case n < 60:
				f.advance(m, 1+r.IntN(12))
			case n < 64:
				merge(f.T, m.list)
			}
		}
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
	for i, m := range f.masters {
		if busy[i] {
			m.setReady(nil)
		}
		f.advance(m, len(f.log))
	}
}

// advance lets a scoutmaster follow the log. It serves nothing at the beginning of
// an epoch.
func (f *playedFleet) advance(m *playedMaster, most int) {
	for _, entry := range f.log[m.at:min(len(f.log), m.at+most)] {
		if len(entry) > 0 && entry[0].epoch > 0 {
			m.setReady(roster.ErrNoState)
			defer func() { m.setReady(nil) }()
		}
	}
	m.follow(most)
}

// randomEntry returns an entry, and notes in the model what it changes.
func randomEntry(r *rand.Rand, model map[files.Origin]map[string]bool) []playedOp {
	origin := listingtest.Origin(r.IntN(5))
	names, shown := model[origin]
	switch n := r.IntN(20); {
	case n < 3:
		return nil // a heartbeat
	case n == 3: // a scoutmaster is buried
		var all []playedOp
		for origin := range model {
			if r.IntN(2) == 0 {
				all = append(all, playedOp{origin: origin, drop: true})
				delete(model, origin)
			}
		}
		return all
	case !shown || n == 4:
		var added []string
		for range r.IntN(30) {
			added = append(added, fmt.Sprintf("d%d/f%d", r.IntN(5), r.IntN(30)))
		}
		slices.Sort(added)
		added = slices.Compact(added)
		model[origin] = setOf(added)
		return []playedOp{{origin: origin, show: true, added: added}}
	}
	op := playedOp{origin: origin}
	for range 1 + r.IntN(4) {
		name := fmt.Sprintf("d%d/f%d", r.IntN(5), r.IntN(30))
		switch {
		case slices.Contains(op.added, name), slices.Contains(op.removed, name):
		case names[name]:
			op.removed = append(op.removed, name)
			delete(names, name)
		default:
			op.added = append(op.added, name)
			names[name] = true
		}
	}
	return []playedOp{op}
}

// hopper is a reader that asks another scoutmaster each time.
type hopper struct {
	fleet  *playedFleet
	ctx    context.Context
	rand   *rand.Rand
	counts *hopCounts
}

// pause waits a little. It is false when the test is over.
func (h *hopper) pause() bool {
	select {
	case <-time.After(time.Duration(h.rand.IntN(400)) * time.Millisecond):
	case <-h.ctx.Done():
	}
	return h.ctx.Err() == nil
}

// ask asks any scoutmaster, the next one after a problem, and counts the answers.
// The answer is nil when the test is over.
func (h *hopper) ask(query string, headers ...string) (answer *http.Response, from *playedMaster) {
	for h.ctx.Err() == nil {
		from = h.fleet.masters[h.rand.IntN(len(h.fleet.masters))]
		r, err := http.NewRequestWithContext(h.ctx, http.MethodGet, "http://lab/files?"+query, http.NoBody)
		if err != nil {
			h.fleet.Error(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if answer, err = from.client.Do(r); err != nil {
			continue // the test is over
		}
		if answer.StatusCode != http.StatusServiceUnavailable {
			h.counts.note(fmt.Sprint(answer.StatusCode))
			return answer, from
		}
		var problem struct{ Type string }
		if err := json.Unmarshal(h.read(answer), &problem); err != nil || answer.Header.Get("Retry-After") == "" {
			h.fleet.Errorf("%v, %v", err, answer.Header)
		}
		h.counts.note(problem.Type)
		h.pause()
	}
	return nil, nil
}

func (h *hopper) read(answer *http.Response) []byte {
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil && h.ctx.Err() == nil {
		h.fleet.Error(err)
	}
	return text
}

// conditions are those of a query, and what it selects.
type conditions struct {
	query   string
	selects func(name string) bool
}

func (h *hopper) conditions() conditions {
	prefix := fmt.Sprintf("d%d", h.rand.IntN(5))
	return []conditions{
		{"", func(string) bool { return true }},
		{"prefix=" + prefix, func(name string) bool { return strings.HasPrefix(name, prefix) }},
		{"host=" + listingtest.Origin(1).Host, func(name string) bool { return strings.HasSuffix(name, "@"+listingtest.Origin(1).Host) }},
	}[h.rand.IntN(3)]
}

// expected is what a query selects at a revision.
func (h *hopper) expected(r revisionID, c conditions) []string {
	list, ok := h.fleet.listAt(r)
	if !ok {
		h.fleet.Errorf("there is no revision %v", r)
	}
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return !c.selects(name) })
}

// pollTags asks for the list again and again, with the tag of the last answer.
func (h *hopper) pollTags() {
	c, tag, have := h.conditions(), "", []string(nil)
	for h.pause() {
		query := c.query
		if h.rand.IntN(2) == 0 {
			query += "&wait=2s"
		}
		var headers []string
		if tag != "" {
			headers = []string{"If-None-Match", tag}
		}
		answer, _ := h.ask(query, headers...)
		if answer == nil {
			return
		}
		now, text := answer.Header.Get("ETag"), h.read(answer)
		if seen(now).before(seen(tag)) {
			h.fleet.Errorf("time runs backwards from %s to %s", tag, now)
		}
		tag = now
		if answer.StatusCode == http.StatusOK {
			have, _ = namesAndNext(h.fleet.T, text)
			slices.Sort(have)
			h.sameEverywhere(tag+" "+c.query, text)
		}
		if want := h.expected(seen(tag), c); !slices.Equal(have, want) {
			h.fleet.Errorf("at %s, with %q: %q, want %q", tag, c.query, have, want)
		}
	}
}

// sameEverywhere checks that an answer is the same at each scoutmaster.
func (h *hopper) sameEverywhere(what string, text []byte) {
	h.fleet.mu.Lock()
	defer h.fleet.mu.Unlock()
	if before, ok := h.fleet.answers[what]; ok && !bytes.Equal(before, text) {
		h.fleet.Errorf("%s: two answers:\n%s\n%s", what, before, text)
	}
	h.fleet.answers[what] = text
}

// walkPages walks all pages again and again.
func (h *hopper) walkPages() {
	for h.pause() {
		c := h.conditions()
		limit := fmt.Sprintf("&limit=%d", 1+h.rand.IntN(20))
		var walked []string
		var at []revisionID
		for next := ""; ; h.pause() {
			query := c.query + limit
			if next != "" {
				query += "&after=" + next
			}
			answer, _ := h.ask(query)
			if answer == nil {
				return
			}
			now, text := seen(answer.Header.Get("ETag")), h.read(answer)
			if answer.StatusCode == http.StatusGone {
				break
			}
			if n := len(at); n > 0 && (now.before(at[n-1]) || now.epoch != at[0].epoch) {
				h.fleet.Errorf("a walk goes from %v to %v", at[n-1], now)
			}
			at = append(at, now)
			var names []string
			names, next = namesAndNext(h.fleet.T, text)
			walked = append(walked, names...)
			h.sameEverywhere(fmt.Sprint(now, query), text)
			if next == "" {
				h.counts.note("walk")
				h.checkWalk(walked, at, c)
				break
			}
		}
	}
}

// checkWalk checks that a walk is in order and has met each entry once that was
// there throughout.
func (h *hopper) checkWalk(walked []string, at []revisionID, c conditions) {
	order := func(a, b string) int {
		name, host, _ := strings.Cut(a, "@")
		otherName, otherHost, _ := strings.Cut(b, "@")
		return strings.Compare(name+"\x00"+host, otherName+"\x00"+otherHost)
	}
	if !slices.IsSortedFunc(walked, order) || len(slices.Compact(slices.Clone(walked))) != len(walked) {
		h.fleet.Errorf("a walk is not in order: %q", walked)
	}
	lasting := h.expected(at[0], c)
	h.fleet.mu.Lock()
	for r, list := range h.fleet.lists {
		if at[0].before(r) && r.before(at[len(at)-1]) {
			lasting = slices.DeleteFunc(lasting, func(name string) bool { return !slices.Contains(list, name) })
		}
	}
	h.fleet.mu.Unlock()
	last := h.expected(at[len(at)-1], c)
	for _, name := range lasting {
		if slices.Contains(last, name) && !slices.Contains(walked, name) {
			h.fleet.Errorf("a walk from %v to %v has missed %s", at[0], at[len(at)-1], name)
		}
	}
}

// watch watches, at another scoutmaster each time.
func (h *hopper) watch() {
	c := h.conditions()
	format, read := "&format=events", readEventStream
	if h.rand.IntN(2) == 0 {
		format, read = "&format=ndjson&watch=true", readLines
	}
	at := place{list: map[string]bool{}}
	for h.pause() {
		var headers []string
		if at.last != "" {
			h.counts.note("resumed")
			headers = []string{"Last-Event-ID", at.last}
		}
		answer, from := h.ask(c.query+format, headers...)
		if answer == nil {
			return
		}
		cut := time.AfterFunc(time.Duration(h.rand.IntN(3000))*time.Millisecond, func() { answer.Body.Close() })
		places := []place{at}
		read(bufio.NewReader(answer.Body), func(e told) {
			places = append(places, h.tell(from, places[len(places)-1], e, c))
		})
		cut.Stop()
		answer.Body.Close()
		at = places[max(0, len(places)-1-h.rand.IntN(3))] // the last events may not have come
	}
}

// tell returns where a reader is after an event. It checks that the event makes
// sense there.
func (h *hopper) tell(from *playedMaster, at place, e told, c conditions) place {
	next := place{e.ID, maps.Clone(at.list)}
	now, err := parseEventID(e.ID)
	if err != nil {
		h.fleet.Error(err)
	}
	switch e.Event {
	case "reset":
		before, err := parseEventID(at.last)
		if since := from.historySince(); err == nil && before.epoch == now.epoch && !(revisionID{before.epoch, before.revision}).before(since) {
			h.fleet.Errorf("a reset after %s, and the history reaches back to %v", at.last, since)
		}
		next.list = setOf(e.names())
	case "add":
		for _, name := range e.names() {
			if next.list[name] {
				h.fleet.Errorf("after %s: %s is told twice", at.last, name)
			}
			next.list[name] = true
		}
	case "remove":
		for _, name := range e.names() {
			if !next.list[name] {
				h.fleet.Errorf("after %s: %s is removed, and was not there", at.last, name)
			}
			delete(next.list, name)
		}
	}
	if now.gone == 0 {
		h.counts.note("caught up")
		have := slices.Sorted(maps.Keys(next.list))
		if want := h.expected(revisionID{now.epoch, now.revision}, c); !slices.Equal(have, want) {
			h.fleet.Errorf("after %s and %s: %q, want %q", at.last, e.ID, have, want)
		}
	}
	if before, err := parseEventID(at.last); err == nil &&
		(revisionID{now.epoch, now.revision}).before(revisionID{before.epoch, before.revision}) {
		h.fleet.Errorf("time runs backwards from %s to %s", at.last, e.ID)
	}
	return next
}
