package web

import (
	"net/http/httptest"
	"testing"
	"time"

	"scout/internal/render"
)

// patient is a response that remembers until when it may be written.
type patient struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (p *patient) SetWriteDeadline(t time.Time) error {
	p.until = t
	return nil
}

// What is written after the end was announced gets no more time for it.
func TestHurryIsNotTakenBack(t *testing.T) {
	out := &patient{ResponseRecorder: httptest.NewRecorder()}
	w := newEventWriter(out, &render.EventStream)
	w.heartbeat("1")
	if err := w.flush(); err != nil || time.Until(out.until) < eventTimeout/2 {
		t.Errorf("%s for a reader, %v", time.Until(out.until), err)
	}
	w.hurry()
	w.heartbeat("2")
	if err := w.flush(); err != nil || time.Until(out.until) > time.Second {
		t.Errorf("%s for a reader at the end, %v", time.Until(out.until), err)
	}
}
