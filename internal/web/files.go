package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"scout/internal/listing"
	"scout/internal/render"
	"scout/internal/roster"
)

// unconfirmedHeader says how many scouts an answer names as unconfirmed, or would
// if its format could.
const unconfirmedHeader = "Scout-Unconfirmed"

// countHeader says how many entries the conditions of a request select.
const countHeader = "Scout-Count"

// filePaths are the paths of the list, with their formats: so that programs that
// are generated from a description know what each one answers.
var filePaths = map[string]render.Format{
	"/files":        render.AnyFormat,
	"/files.ndjson": render.NDJSON,
	"/files.txt":    render.Text,
	"/files.nul":    render.NUL,
	"/files.events": render.Events,
}

// files answers GET /files, and the paths with a format.
func (h *Handler) files(w http.ResponseWriter, r *http.Request) {
	p, refused := newPlan(r.URL.RawQuery, r.Header, filePaths[r.URL.Path])
	if refused != nil {
		refused.answer(w)
		return
	}
	w.Header().Set("Vary", p.query.vary())
	v, refused := h.awaitRevision(r.Context(), p)
	switch {
	case refused != nil:
		refused.answer(w)
		return
	case p.kind == planEvents:
		h.watch(w, r, p)
		return
	case p.query.after != nil && p.query.after.epoch != v.Epoch:
		refuse(cursorExpired, "after: the list has started anew since this cursor was given; start over without after").answer(w)
		return
	}
	a := &answer{plan: p, version: v, done: r.Context().Done()}
	if h.await(w, r, a) {
		h.list(w, r, a)
	}
}

// answer is one list that is told to a client.
type answer struct {
	*plan

	version     *listing.Version
	unconfirmed []roster.Unconfirmed // scouts whose entries may not be as fresh as was asked
	unchanged   bool                 // the client has all that is selected
	next        string               // the cursor of the next page; "" if there is none
	total       int                  // with count: how many entries the conditions select
	before      int                  // with count: how many of them are before the answer
	done        <-chan struct{}      // closed when the client has left
}

// await waits for what the plan waits for, and makes a the answer then. It returns
// false if it has answered already, or the client has left.
func (h *Handler) await(w http.ResponseWriter, r *http.Request, a *answer) bool {
	a.unchanged = a.isKnown()
	switch {
	case a.kind == planFresh:
		return h.awaitRescan(w, r, a)
	case a.kind == planPoll && r.Method == http.MethodGet:
		return h.awaitChange(w, r, a)
	}
	return true
}

// awaitRescan waits until the scouts that are selected have rescanned their disks.
func (h *Handler) awaitRescan(w http.ResponseWriter, r *http.Request, a *answer) bool {
	ctx, leave := h.watchers.enter(w, r)
	if ctx == nil {
		return false
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, a.query.fresh)
	defer cancel()
	a.version, a.unconfirmed = h.scoutsBehind.Barrier(ctx, a.query.selectsOrigin)
	if refused := h.unready(); refused != nil {
		refused.answer(w)
		return false
	}
	a.unchanged = a.isKnown()
	w.Header().Set(unconfirmedHeader, strconv.Itoa(len(a.unconfirmed)))
	return r.Context().Err() == nil
}

// awaitChange waits until something that is selected has changed since the
// revision that the client knows.
func (h *Handler) awaitChange(w http.ResponseWriter, r *http.Request, a *answer) bool {
	since, ok := a.knownRevision()
	if !ok {
		a.unchanged = false
		return true
	}
	ctx, leave := h.watchers.enter(w, r)
	if ctx == nil {
		return false
	}
	defer leave()
	defer h.listing.Watch()()
	ctx, cancel := context.WithTimeout(ctx, a.query.wait)
	defer cancel()
	a.unchanged = h.unchanged(ctx, a, since)
	if refused := h.unready(); refused != nil {
		refused.answer(w)
		return false
	}
	return r.Context().Err() == nil
}

// unchanged waits until something that is selected has changed since a revision,
// ctx is done, or the list must not be served, and reports whether nothing has. a
// has the list as it is then.
func (h *Handler) unchanged(ctx context.Context, a *answer, since uint64) bool {
	epoch, unready := a.version.Epoch, h.scoutsBehind.ReadyChanged()
	for {
		now := h.listing.Current()
		for since < now.Revision || now.Epoch != epoch {
			c, ok := h.listing.Since(since, a.query.selectsOrigin)
			if !ok || c.Epoch != epoch || a.query.touches(c) {
				a.version = h.listing.Current()
				return false
			}
			since = c.Revision
		}
		a.version = now
		select {
		case <-h.listing.After(epoch, since):
		case <-unready:
			if h.scoutsBehind.Ready() != nil {
				return true
			}
			unready = h.scoutsBehind.ReadyChanged()
		case <-ctx.Done():
			return true
		}
	}
}

// list writes the answer.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, a *answer) {
	w.Header().Set("ETag", a.tag())
	if a.unchanged {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if !a.findNextPage() || !a.countAll() {
		return
	}
	if a.query.count {
		w.Header().Set(countHeader, strconv.Itoa(a.total))
	}
	if a.next != "" {
		w.Header().Set("Link", a.link(r))
	}
	w.Header().Set("Content-Type", a.format.MediaType())
	h.send(w, r, a.coding, func(out io.Writer) error { return h.render.Write(out, a.list()) })
}

// list returns the answer as it is rendered.
func (a *answer) list() *render.List {
	l := &render.List{Version: a.version, Format: a.format, Coding: a.coding, More: a.more()}
	if q := a.query; !q.selectsAll() || q.limit > 0 || q.beginning() != nil || q.offset > 0 {
		l.Selection = a.entries()
	}
	return l
}

// entries returns the selected entries of the page.
func (a *answer) entries() *selection { return newSelection(a.version, a.query, a.done) }

// findNextPage finds out where the next page begins. It reads the whole page and
// renders nothing: so a page of any size costs no memory, and the Link header is
// known before the page is written. It returns false if the client has left.
func (a *answer) findNextPage() bool {
	if a.query.limit == 0 {
		return true
	}
	s, c := a.entries(), cursor{epoch: a.version.Epoch, revision: a.version.Revision}
	for s.Next() {
		if s.left == 0 {
			c.name, c.origin = append(c.name, s.Name()...), s.Source().Origin
		}
	}
	if s.more() {
		c.query = a.query.hash()
		a.next = c.String()
	}
	return s.Err() == nil
}

// countAll counts what the conditions select, if the request asks for that. It
// returns false if the client has left.
func (a *answer) countAll() (ok bool) {
	if !a.query.count {
		return true
	}
	a.total, a.before, ok = a.query.countIn(a.version, a.done)
	return ok
}

// link returns the value of the Link header. The reference is relative, so that it
// holds behind a proxy that serves the scoutmaster below another path.
func (a *answer) link(r *http.Request) string {
	values := r.URL.Query()
	values.Del("from")
	values.Del("offset")
	values.Set("after", a.next)
	return "<" + path.Base(r.URL.Path) + "?" + values.Encode() + `>; rel="next"`
}

// more returns the members that an answer in JSON has beside the entries.
func (a *answer) more() string {
	var p []byte
	if a.next != "" {
		p = append(append(append(p, `,"next":"`...), a.next...), '"')
	}
	if a.query.count {
		p = fmt.Appendf(p, `,"count":%d,"offset":%d`, a.total, a.before)
	}
	if a.query.fresh > 0 {
		p = appendUnconfirmed(append(p, `,"unconfirmed":`...), a.unconfirmed)
	}
	return string(p)
}

func appendUnconfirmed(p []byte, unconfirmed []roster.Unconfirmed) []byte {
	return render.AppendLines(p, unconfirmed, func(o *render.Object, u roster.Unconfirmed) {
		if u.Scoutmaster != "" {
			o.Text("scoutmaster", u.Scoutmaster)
		} else {
			o.Origin(u.Origin)
		}
		o.Text("reason", u.Reason)
	})
}

// tag returns the entity tag of the answer. It differs after each change of the
// list, and after each restart of the scoutmaster or its fleet. It is the same at
// every scoutmaster of a fleet. It is weak: it stands for the answer in every
// coding.
func (a *answer) tag() string {
	tag := a.version.Tag()
	if len(a.unconfirmed) > 0 {
		tag += fmt.Sprintf("-%016x", xxhash.Sum64(appendUnconfirmed(nil, a.unconfirmed)))
	}
	return `W/"` + tag + "-" + a.format.String() + `"`
}

// isKnown reports whether the client has the answer already.
func (a *answer) isKnown() bool {
	tag := strings.TrimPrefix(a.tag(), "W/")
	for _, known := range a.known {
		if known == "*" || strings.TrimPrefix(known, "W/") == tag {
			return true
		}
	}
	return false
}

// knownRevision returns the latest revision of which the client has the answer. It
// is not ok if there is none.
func (a *answer) knownRevision() (latest uint64, ok bool) {
	for _, tag := range a.known {
		if tag == "*" {
			return a.version.Revision, true
		}
		epoch, revision, rest, isTag := parseTag(tag)
		if isTag && rest == a.format.String()+`"` && epoch == a.version.Epoch && revision <= a.version.Revision {
			latest, ok = max(latest, revision), true
		}
	}
	return latest, ok
}
