package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
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

// A client that accepts a little all the time, and too little, is cut off.
func TestSlowWatcherIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &patient{ResponseRecorder: httptest.NewRecorder()}
		w := newEventWriter(out, &render.EventStream)
		w.begin("reset", "1")
		name := []byte(strings.Repeat("n", 1000))
		began := time.Now()
		for time.Now().Before(out.until) || out.until.IsZero() { // as long as the server would let it
			if err := w.entry(name, files.Origin{Host: "h", Directory: "/"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // 1 KB/s, where eventPace is 64
			if time.Since(began) > time.Hour {
				t.Fatal("it is served for an hour")
			}
		}
		if took := time.Since(began); took < eventTimeout {
			t.Errorf("it was cut off after %s", took)
		}
	})
}

// The log says once that watchers are refused, until there is room again.
func TestRefusedWatchersAreLoggedOnce(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	ws := newWatchers(1, zap.New(core))
	for round := range 2 {
		if !ws.admit() {
			t.Error("there is no room")
		}
		for range 3 {
			if ws.admit() {
				t.Error("one too many is admitted")
			}
		}
		if n := logs.FilterMessage("watchers refused").Len(); n != round+1 {
			t.Errorf("it is logged %d times in %d rounds", n, round+1)
		}
		ws.leave()
	}
}

// A long poll misses no change, however close it comes to the beginning of the
// wait.
func TestPollMissesNoChange(t *testing.T) {
	list := listing.New()
	source := list.Show(files.Origin{Host: "h", Directory: "/"}, filestest.Set("a"), nil)
	defer list.Watch()()
	h := NewHandler(list, nobody{list}, func() error { return nil }, Options{}, zap.NewNop())
	p, refused := newPlan("", http.Header{}, render.AnyFormat)
	if refused != nil {
		t.Fatal(refused)
	}
	began := time.Now()
	for turn := 0; time.Since(began) < time.Second; turn++ {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		begun, told := make(chan struct{}), make(chan bool)
		go func() {
			a := &answer{plan: p, version: list.Current()}
			close(begun)
			told <- !h.unchanged(ctx, a, a.version.Revision)
		}()
		<-begun
		for range turn % 256 {
			_ = ctx.Err() // a moment, of another length each time
		}
		d := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
		if turn%2 == 1 {
			d.Removed, d.Added = d.Added, d.Removed
		}
		if _, err := list.Change(source, d); err != nil {
			t.Fatal(err)
		}
		if !<-told {
			t.Fatalf("change %d was missed", turn)
		}
		cancel()
	}
}
