package web

import (
	"fmt"
	"io"
	"net/http"

	"go.uber.org/zap"

	"scout/internal/listing"
	"scout/internal/roster"
)

// scouts answers GET /scouts.
func (h *Handler) scouts(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		badQuery.answer(w, "/scouts knows no parameters")
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	c := acceptedCoding(r.Header.Values("Accept-Encoding"))
	if c == noCoding {
		notAcceptable.answer(w, "Accept-Encoding takes none of zstd, gzip and identity")
		return
	}
	w.Header().Set("Content-Type", formatJSON.mediaType())
	if c != identity {
		w.Header().Set("Content-Encoding", c.String())
	}
	if r.Method == http.MethodHead {
		return
	}
	out := pieces{w: w, deadline: http.NewResponseController(w).SetWriteDeadline}
	text := renderRoster(h.listing.Current(), h.fleet.Roster())
	err := coded(&out, c, func(out io.Writer) error {
		_, err := out.Write(text)
		return err
	})
	if err != nil {
		h.log.Debug("client left", zap.String("remote", r.RemoteAddr), zap.Error(err))
		panic(http.ErrAbortHandler) // half a roster must not look like a whole one
	}
}

// renderRoster renders what is known of the scouts, and the totals of the list.
func renderRoster(v *listing.Version, r roster.Roster) []byte {
	o := newJSONObject(make([]byte, 0, 512+512*len(r.Scouts)))
	o.text("epoch", fmt.Sprintf("%016x", v.Epoch))
	o.number("revision", v.Revision)
	o.number("files", uint64(v.Len))
	o.number("changes", v.Changes)
	o.key("states")
	o.buf = appendStates(o.buf, r)
	o.key("scouts")
	o.buf = appendLines(o.buf, r.Scouts, appendScout)
	o.key("left")
	o.buf = appendLines(o.buf, r.Left, appendLeft)
	o.key("refused")
	o.buf = appendLines(o.buf, r.Refused, appendRefused)
	return o.end()
}

// appendStates appends how many scouts are in each state.
func appendStates(p []byte, r roster.Roster) []byte {
	counts := map[roster.State]uint64{}
	for i := range r.Scouts {
		counts[r.Scouts[i].State]++
	}
	o := newJSONObject(p)
	for _, s := range roster.States {
		o.number(string(s), counts[s])
	}
	o.number(string(roster.Gone), uint64(r.Gone))
	return o.end()
}

func appendScout(p []byte, s roster.Scout) []byte {
	o := newJSONObject(p)
	o.origin(s.Origin)
	o.text("state", string(s.State))
	if s.Reason != "" {
		o.text("reason", s.Reason)
	}
	if s.State == roster.Scanning {
		o.number("scanned", s.Scanned)
	}
	o.number("files", uint64(s.Files))
	o.number("revision", s.Revision)
	o.number("unreadable", s.Unreadable)
	o.number("polled", s.Polled)
	if s.PollRound > 0 {
		o.seconds("poll_seconds", s.PollRound)
	}
	o.time("registered", s.Registered)
	o.time("heard", s.Heard)
	o.text("version", s.Version)
	o.text("session", s.Session)
	o.text("address", s.Address)
	return o.end()
}

func appendLeft(p []byte, l roster.Left) []byte {
	o := newJSONObject(p)
	o.origin(l.Origin)
	o.text("reason", l.Reason)
	o.time("when", l.When)
	o.text("session", l.Session)
	o.text("address", l.Address)
	o.number("times", uint64(l.Times))
	return o.end()
}

func appendRefused(p []byte, r roster.Refused) []byte {
	o := newJSONObject(p)
	o.origin(r.Origin)
	o.text("holder", r.Holder)
	o.time("when", r.When)
	o.text("address", r.Address)
	o.number("times", uint64(r.Times))
	return o.end()
}
