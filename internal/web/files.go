package web

import (
	"cmp"
	"fmt"
	"net/http"

	"go.uber.org/zap"
)

// files answers GET /files.
func (h *Handler) files(w http.ResponseWriter, r *http.Request) {
	a := h.decide(w, r)
	if a == nil {
		return
	}
	if a.watched() {
		h.watch(w, r, a)
		return
	}
	if a.query.fresh > 0 && !h.look(w, r, a) {
		return
	}
	known := isKnown(r.Header.Values("If-None-Match"), a.tag())
	if a.query.wait > 0 && r.Method == http.MethodGet {
		var ok bool
		if known, ok = h.hold(w, r, a); !ok {
			return
		}
	}
	w.Header().Set("ETag", a.tag())
	if known {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if !a.turn() {
		return
	}
	if a.next != "" {
		w.Header().Set("Link", a.link(r))
	}
	w.Header().Set("Content-Type", a.format.mediaType())
	if a.coding != identity {
		w.Header().Set("Content-Encoding", a.coding.String())
	}
	if r.Method == http.MethodHead {
		return
	}
	out := pieces{w: w, deadline: http.NewResponseController(w).SetWriteDeadline}
	if err := h.render.write(&out, a); err != nil {
		h.log.Debug("client left", zap.String("remote", r.RemoteAddr), zap.Error(err))
		panic(http.ErrAbortHandler) // half a list must not look like a whole one
	}
}

// decide returns what is to be answered, or nil when it has answered with what is
// wrong.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request) *answer {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		badQuery.answer(w, err.Error())
		return nil
	}
	a := &answer{version: h.listing.Current(), query: q, format: q.format, done: r.Context().Done()}
	w.Header().Set("Vary", q.vary())
	if a.format == anyFormat {
		a.format = accepted(r.Header.Values("Accept"))
	}
	a.coding = acceptedCoding(r.Header.Values("Accept-Encoding"))
	switch {
	case a.format == anyFormat:
		notAcceptable.answer(w, fmt.Sprintf("Accept takes none of %s", mediaTypes()))
	case a.coding == noCoding:
		notAcceptable.answer(w, "Accept-Encoding takes none of zstd, gzip and identity")
	case q.after != nil && q.after.epoch != a.version.Epoch:
		cursorExpired.answer(w, "after: the scoutmaster has restarted since it gave this cursor; start over without after")
	case q.after != nil && q.after.query != q.hash():
		badQuery.answer(w, "after: the cursor belongs to a query with other conditions; keep host, directory, prefix and match from page to page")
	default:
		if err := cmp.Or(a.checkWatch(r.Header), a.checkFresh()); err != nil {
			badQuery.answer(w, err.Error())
			return nil
		}
		return a
	}
	return nil
}
