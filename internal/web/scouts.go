package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"scout/internal/listing"
	"scout/internal/render"
	"scout/internal/roster"
)

// scouts answers GET /scouts.
func (h *Handler) scouts(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		refuse(badQuery, "/scouts has no parameters").answer(w)
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	c := acceptedCoding(r.Header.Values("Accept-Encoding"))
	if c == render.NoCoding {
		refuse(notAcceptable, noCodingAccepted).answer(w)
		return
	}
	// One that is cut off or lags tells what it knew.
	if refused := h.unready(); refused != nil && refused.problem == catchingUp {
		refused.answer(w)
		return
	}
	w.Header().Set("Content-Type", render.JSON.MediaType())
	var body bytes.Buffer
	err := render.Compress(&body, c, func(out io.Writer) error {
		_, err := out.Write(renderRoster(h.listing.Current(), h.scoutsBehind.Roster()))
		return err
	})
	if err != nil {
		panic(err) // a buffer takes everything
	}
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	h.send(w, r, c, func(out io.Writer) error {
		_, err := out.Write(body.Bytes())
		return err
	})
}

// renderRoster renders what is known of the scouts, and the totals of the list.
func renderRoster(v *listing.Version, r roster.Roster) []byte {
	o := render.NewObject(make([]byte, 0, 512+512*len(r.Scouts)))
	o.Text("epoch", fmt.Sprintf("%016x", v.Epoch))
	o.Number("revision", v.Revision)
	o.Number("files", uint64(v.Len))
	o.Number("changes", v.Changes)
	o.Value("states", func(p []byte) []byte { return appendStates(p, r) })
	if r.Scoutmasters != nil {
		render.AddLines(o, "scoutmasters", r.Scoutmasters, addScoutmaster)
	}
	render.AddLines(o, "scouts", r.Scouts, addScout)
	render.AddLines(o, "left", r.Left, addLeft)
	render.AddLines(o, "refused", r.Refused, addRefused)
	return o.End()
}

// appendStates appends how many scouts are in each state.
func appendStates(p []byte, r roster.Roster) []byte {
	counts := map[roster.State]uint64{}
	for i := range r.Scouts {
		counts[r.Scouts[i].State]++
	}
	o := render.NewObject(p)
	for _, s := range roster.States {
		o.Number(string(s), counts[s])
	}
	o.Number(string(roster.Gone), uint64(r.Gone))
	return o.End()
}

func addScout(o *render.Object, s roster.Scout) {
	o.Origin(s.Origin)
	o.Text("state", string(s.State))
	if s.Reason != "" {
		o.Text("reason", s.Reason)
	}
	if s.State == roster.Scanning {
		o.Number("scanned", s.Scanned)
	}
	o.Number("files", uint64(s.Files))
	o.Number("revision", s.Revision)
	o.Number("unreadable", s.Unreadable)
	o.Number("polled", s.Polled)
	if s.PollRound > 0 {
		o.Seconds("poll_seconds", s.PollRound)
	}
	o.Time("registered", s.Registered)
	if !s.Heard.IsZero() {
		o.Time("heard", s.Heard)
	}
	o.Text("version", s.Version)
	o.Text("session", s.Session)
	o.Text("address", s.Address)
	if s.Scoutmaster != "" {
		o.Text("scoutmaster", s.Scoutmaster)
	}
}

func addScoutmaster(o *render.Object, m roster.Scoutmaster) {
	o.Text("name", m.Name)
	o.Text("url", m.URL)
	o.Text("state", string(m.State))
	o.Number("scouts", uint64(m.Scouts))
	o.Number("revision", m.Revision)
	o.Text("version", m.Version)
}

func addLeft(o *render.Object, l roster.Left) {
	o.Origin(l.Origin)
	o.Text("reason", l.Reason)
	o.Time("when", l.When)
	o.Text("session", l.Session)
	o.Text("address", l.Address)
	o.Number("times", uint64(l.Times))
}

func addRefused(o *render.Object, r roster.Refused) {
	o.Origin(r.Origin)
	o.Text("holder", r.Holder)
	o.Time("when", r.When)
	o.Text("address", r.Address)
	o.Number("times", uint64(r.Times))
}
