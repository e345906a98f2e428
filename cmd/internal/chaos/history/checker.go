package history

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// Violation is a broken promise in a list.
type Violation struct {
	At    time.Duration
	Rule  Rule
	Scout int // or All
	Name  string
	Text  string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s: scout %d: %q: %s", v.At.Round(time.Millisecond), v.Rule, v.Scout, v.Name, v.Text)
}

// Rule is the promise that a violation breaks.
type Rule string

// The rules.
const (
	Stale      Rule = "listed though it was not there"
	Missing    Rule = "not listed though it was there"
	Lives      Rule = "listed though its scout is gone"
	Backwards  Rule = "the revision went backwards"
	Reused     Rule = "one revision for two lists"
	Malformed  Rule = "not a list"
	Unanswered Rule = "not answered"
)

// Checker checks a history while it is recorded. The events must be in the order in
// which they were recorded.
type Checker struct {
	bounds    Bounds
	names     map[int]map[string]timeline // by scout
	present   map[int]map[string]bool     // the names that exist after all operations
	open      map[int]*Operation
	faults    faults
	consumers map[string]map[int]map[string]bool // the last list of each
	revisions revisions

	// Worst is the longest time until a change was listed while its scout had no
	// fault.
	Worst time.Duration
	// Checked is the number of names that were checked.
	Checked int
}

// NewChecker returns a Checker with these bounds.
func NewChecker(b Bounds) *Checker {
	return &Checker{
		bounds: b, names: map[int]map[string]timeline{}, present: map[int]map[string]bool{},
		open: map[int]*Operation{}, consumers: map[string]map[int]map[string]bool{}, revisions: newRevisions(),
	}
}

// Check checks a whole history.
func Check(b Bounds, events []Event) (found []Violation) {
	c := NewChecker(b)
	for _, e := range events {
		found = append(found, c.Add(e)...)
	}
	return found
}

// Add checks the next event and returns its violations.
func (c *Checker) Add(e Event) []Violation {
	switch {
	case e.Begin != nil:
		c.begin(e.Begin, e.At)
	case e.End != 0:
		c.end(e.End, e.At)
	case e.Fault != nil:
		c.fault(e.Fault, e.At)
	case e.List != nil:
		return c.list(e.List, e.At)
	}
	return nil
}

func (c *Checker) begin(o *Operation, at time.Duration) {
	c.open[o.ID] = o
	for _, n := range o.Gone {
		c.note(n, change{o.ID, at, Forever, false})
		delete(c.present[n.Scout], string(n.Path))
	}
	for _, n := range o.Come {
		c.note(n, change{o.ID, at, Forever, true})
		put(c.present, n.Scout, string(n.Path), true)
	}
}

func (c *Checker) note(n Name, ch change) {
	put(c.names, n.Scout, string(n.Path), append(c.names[n.Scout][string(n.Path)], ch))
}

func (c *Checker) end(id int, at time.Duration) {
	o := c.open[id]
	delete(c.open, id)
	for _, names := range [][]Name{o.Gone, o.Come} {
		for _, n := range names {
			c.names[n.Scout][string(n.Path)].finish(id, at)
		}
	}
}

func (c *Checker) fault(s *Step, at time.Duration) {
	if s.Stage == Begins {
		c.faults = append(c.faults, newFault(*s, at))
		return
	}
	for _, f := range c.faults {
		if f.id == s.ID {
			f.reach(s.Stage, at)
		}
	}
}

// list checks one list.
func (c *Checker) list(l *List, end time.Duration) (found []Violation) {
	if l.Error != "" {
		return c.unanswered(l, end)
	}
	shown := c.consumers[l.Consumer]
	if shown == nil {
		shown = map[int]map[string]bool{}
		c.consumers[l.Consumer] = shown
	}
	for _, n := range l.Went {
		delete(shown[n.Scout], string(n.Path))
	}
	for _, n := range l.Came {
		put(shown, n.Scout, string(n.Path), true)
	}
	if l.Wrong != "" {
		found = append(found, Violation{end, Malformed, All, "", l.Consumer + ": " + l.Wrong})
	}
	for scout, names := range shown {
		found = append(found, c.listed(l, scout, names, end)...)
	}
	for scout, names := range c.present {
		found = append(found, c.unlisted(l, scout, names, shown[scout], end)...)
	}
	return append(found, c.revisions.add(l, end, c.bounds.Several)...)
}

// unanswered checks a request without an answer. The master may be down.
func (c *Checker) unanswered(l *List, end time.Duration) []Violation {
	more := c.bounds.Answer
	if c.bounds.Several { // it has to come back to the log
		more = c.bounds.Recovery
	}
	for _, f := range c.faults {
		if f.scout == All && f.within(l.Start, end, more) {
			return nil
		}
	}
	return []Violation{{end, Unanswered, All, "", l.Consumer + ": " + l.Error}}
}

// listed checks the listed names of a scout.
func (c *Checker) listed(l *List, scout int, names map[string]bool, end time.Duration) (found []Violation) {
	if len(names) == 0 {
		return nil
	}
	if f := c.faults.absent(scout, l.Start, end, c.bounds); f != nil {
		found = append(found, Violation{end, Lives, scout, some(names), fmt.Sprintf(
			"%s: %d names, asked for at %s: %s since %s", l.Consumer, len(names), l.Start, f.kind, f.on)})
	}
	from := c.faults.back(scout, l.Start, c.bounds)
	for name := range names {
		c.Checked++
		if t := c.names[scout][name]; !t.possibly(from, end) {
			found = append(found, Violation{end, Stale, scout, name, fmt.Sprintf(
				"%s: asked for at %s, not there since %s at the latest: %s", l.Consumer, l.Start, from, t)})
		} else if n := len(t); !t.present() && c.faults.calm(scout, l.Start-c.bounds.Fresh, end, c.bounds) {
			c.Worst = max(c.Worst, l.Start-t[n-1].end)
		}
	}
	return found
}

// unlisted checks that no name of a scout is missing.
func (c *Checker) unlisted(l *List, scout int, names, shown map[string]bool, end time.Duration) (found []Violation) {
	from := l.Start - c.faults.lag(scout, l.Start, end, c.bounds)
	if !c.faults.calm(scout, from, end, c.bounds) {
		return nil
	}
	for name := range names {
		if shown[name] || !strings.HasPrefix(name, l.Prefix) {
			continue
		}
		c.Checked++
		t := c.names[scout][name]
		if t.surely(from, end) {
			found = append(found, Violation{end, Missing, scout, name, fmt.Sprintf(
				"%s: asked for at %s, there at least since %s: %s", l.Consumer, l.Start, from, t)})
		} else if last := t[len(t)-1]; last.end < l.Start {
			c.Worst = max(c.Worst, l.Start-last.end)
		}
	}
	return found
}

// put sets a value in a map of maps.
func put[V any](m map[int]map[string]V, scout int, name string, v V) {
	if m[scout] == nil {
		m[scout] = map[string]V{}
	}
	m[scout][name] = v
}

// some returns any of the names.
func some(names map[string]bool) string {
	for n := range names {
		return n
	}
	return ""
}

func (t timeline) String() string {
	var b strings.Builder
	for _, c := range t[max(0, len(t)-6):] {
		verb := "gone"
		if c.present {
			verb = "there"
		}
		end := "…"
		if c.end != Forever {
			end = c.end.String()
		}
		fmt.Fprintf(&b, "[%s by operation %d, %s to %s]", verb, c.operation, c.begin, end)
	}
	return b.String()
}

// around is how long before a violation an event may be related to it.
const around = 10 * time.Second

// Excerpt returns the events that may be related to a violation: the faults of its
// scout shortly before.
func (c *Checker) Excerpt(v Violation) string {
	var b strings.Builder
	for _, f := range c.faults {
		if (v.Scout == All || f.of(v.Scout)) && f.within(v.At-around, v.At, 0) {
			fmt.Fprintf(&b, "\n  fault %d: %s: from %s, on %s, off %s, over %s", f.id, f.kind, when(f.begin), when(f.on), when(f.off), when(f.ended))
		}
	}
	return b.String()
}

func when(t time.Duration) string {
	if t == Forever {
		return "…"
	}
	return t.Round(time.Millisecond).String()
}

// revisions checks the ETags of lists.
type revisions struct {
	tops   map[string][]top // by epoch and prefix
	bodies map[version]uint64
}

// top is the highest revision that any answer had until a time.
type top struct {
	at       time.Duration
	revision uint64
}

// version identifies a list: by its ETag, and the prefix of its names.
type version struct {
	epoch, prefix string
	revision      uint64
}

func newRevisions() revisions {
	return revisions{tops: map[string][]top{}, bodies: map[version]uint64{}}
}

func (r *revisions) add(l *List, end time.Duration, several bool) (found []Violation) {
	if l.Epoch == "" {
		return nil
	}
	if several && (l.Epoch < l.HadEpoch || l.Epoch == l.HadEpoch && l.Revision < l.HadRevision) {
		found = append(found, Violation{end, Backwards, All, "", fmt.Sprintf("%s: revision %d of %s for one who had %d of %s",
			l.Consumer, l.Revision, l.Epoch, l.HadRevision, l.HadEpoch)})
	}
	tops := r.tops[l.Epoch]
	before := sort.Search(len(tops), func(i int) bool { return tops[i].at > l.Start })
	if before > 0 && !l.Pushed && !several && tops[before-1].revision > l.Revision {
		found = append(found, Violation{end, Backwards, All, "", fmt.Sprintf("%s: revision %d of %s asked for at %s, %d had come at %s",
			l.Consumer, l.Revision, l.Epoch, l.Start, tops[before-1].revision, tops[before-1].at)})
	}
	if n := len(tops); n == 0 || tops[n-1].revision < l.Revision && tops[n-1].at <= end {
		r.tops[l.Epoch] = append(tops, top{end, l.Revision})
	}
	v := version{l.Epoch, l.Prefix, l.Revision}
	if body, ok := r.bodies[v]; ok && body != l.Digest {
		found = append(found, Violation{end, Reused, All, "", fmt.Sprintf("%s: revision %d of %s", l.Consumer, l.Revision, l.Epoch)})
	}
	r.bodies[v] = l.Digest
	return found
}
