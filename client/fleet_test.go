package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"scout/client"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/wake"
	"scout/internal/web"
)

// fleetMaster is a scoutmaster of a fleet. Each entry of the log is a name that is
// added.
type fleetMaster struct {
	list    *listing.Listing
	handler *web.Handler
	source  *listing.Source
	at      int
	changed wake.Broadcast

	mu    sync.Mutex
	ready error
}

const fleetDeadline = 2 * time.Second

// inFleet runs a test with the scoutmasters of a fleet, at a:3001 and so on, and a
// client for all of them, in virtual time.
func inFleet(t *testing.T, n int, test func(t *testing.T, masters []*fleetMaster, c *client.Client)) {
	synctest.Test(t, func(t *testing.T) {
		network := &network{conns: map[string]chan net.Conn{}}
		var masters []*fleetMaster
		var addresses []string
		for i := range n {
			m := &fleetMaster{list: listing.New()}
			m.list.Watch()
			m.handler = web.NewHandler(m.list, m, func() error { return nil }, web.Options{Watchers: 10, Deadline: fleetDeadline}, zap.NewNop())
			host := string(rune('a'+i)) + ":3001"
			network.serve(t, host, m.handler)
			masters, addresses = append(masters, m), append(addresses, "http://"+host)
			m.follow(1)
		}
		transport := &http.Transport{DialContext: network.dial}
		defer transport.CloseIdleConnections()
		c, err := client.New(strings.Join(addresses, ","), client.Options{HTTP: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		test(t, masters, c)
	})
}

// network is pipes to servers.
type network struct{ conns map[string]chan net.Conn }

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	n.conns[address] <- theirs
	return ours, nil
}

func (n *network) serve(t *testing.T, address string, h http.Handler) {
	l := &pipeListener{make(chan net.Conn), make(chan struct{})}
	n.conns[address] = l.conns
	server := &http.Server{Handler: h}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// follow applies the log up to an entry.
func (m *fleetMaster) follow(to int) {
	tx := m.list.Begin()
	defer tx.Commit()
	for ; m.at < to; m.at++ {
		position := uint64(m.at + 1)
		if m.at == 0 {
			tx.Restart(1000, position)
			m.source = tx.Show(files.Origin{Host: "h", Directory: "/d"}, filestest.Set("start"), nil)
			continue
		}
		tx.Advance(position)
		if _, err := tx.Change(m.source, added("f"+string(rune('0'+m.at)))); err != nil {
			panic(err)
		}
	}
}

func (m *fleetMaster) setReady(err error) {
	m.mu.Lock()
	m.ready = err
	m.mu.Unlock()
	m.changed.Wake()
}

func (m *fleetMaster) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready
}

func (m *fleetMaster) ReadyChanged() <-chan struct{} { return m.changed.Wait() }

func (m *fleetMaster) Roster() roster.Roster {
	return roster.Roster{
		Scouts:       []roster.Scout{{Origin: files.Origin{Host: "h", Directory: "/d"}, State: roster.Live, Scoutmaster: "b"}},
		Scoutmasters: []roster.Scoutmaster{{Name: "a", URL: "http://a:3001", State: roster.ScoutmasterLive, Revision: 3, Version: "v1"}, {Name: "b", State: roster.ScoutmasterCutOff, Scouts: 1}},
	}
}

func (m *fleetMaster) Barrier(context.Context, func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	return m.list.Current(), nil
}

// A client goes on at the next scoutmaster, with its cursor or tag, when one is cut
// off or behind.
func TestHops(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, masters []*fleetMaster, c *client.Client) {
		masters[0].follow(4)
		page, err := c.Page(t.Context(), client.Query{}, 2, "")
		if err != nil || len(page.Files) != 2 || page.Next == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		masters[0].setReady(roster.ErrCutOff)
		masters[2].follow(5)
		began := time.Now()
		next, err := c.Page(t.Context(), client.Query{}, 5, page.Next) // b is behind
		if took := time.Since(began); err != nil || len(next.Files) != 3 || took != fleetDeadline {
			t.Errorf("%+v, %v after %v", next, err, took)
		}
		if next.Files[0].Name != "f3" || next.Files[1].Name != "f4" || next.Files[2].Name != "start" {
			t.Errorf("%+v", next.Files)
		}

		masters[2].setReady(roster.ErrNoState)
		masters[0].setReady(nil) // it is behind too
		_, _, err = c.Wait(t.Context(), client.Query{}, next.Tag, time.Second)
		p, ok := errors.AsType[*client.ProblemError](err)
		if !errors.Is(err, client.ErrBehind) || !ok || p.RetryAfter != time.Second {
			t.Errorf("all are behind or not ready: %v", err)
		}
		masters[1].setReady(roster.ErrCutOff)
		masters[0].setReady(roster.ErrCutOff)
		if _, err := c.Page(t.Context(), client.Query{}, 2, ""); !errors.Is(err, client.ErrCutOff) && !errors.Is(err, client.ErrCatchingUp) {
			t.Errorf("none is ready: %v", err)
		}
		time.AfterFunc(time.Second, func() { masters[1].follow(5) })
		masters[1].setReady(nil)
		if now, changed, err := c.Wait(t.Context(), client.Query{}, next.Tag, time.Second); now != next.Tag || changed || err != nil {
			t.Errorf("one has caught up: %s, %v, %v", now, changed, err)
		}
	})
}

// A watch goes on at the next scoutmaster: nothing is missed or told twice, and no
// reset is told.
func TestWatchHops(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, masters []*fleetMaster, c *client.Client) {
		step := 0
		var got []string
		for change, err := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range change.Added {
				got = append(got, f.Name)
			}
			if step == 8 {
				break
			}
			step++
			m := masters[step%3] // the others are behind, and the one that told the last change is cut off
			m.setReady(nil)
			m.follow(step + 1)
			masters[(step+2)%3].setReady(roster.ErrCutOff)
		}
		if want := []string{"start", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// A scoutmaster that accepts connections and says nothing does not stop a client
// that has others.
func TestFrozenScoutmaster(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, masters []*fleetMaster, _ *client.Client) {
		network := &network{conns: map[string]chan net.Conn{"frozen:3001": make(chan net.Conn, 10)}}
		network.serve(t, "a:3001", masters[0].handler)
		transport := &http.Transport{DialContext: network.dial}
		defer transport.CloseIdleConnections()
		c, err := client.New("http://frozen:3001,http://a:3001", client.Options{HTTP: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		n := 0
		for _, err := range c.List(t.Context(), client.Query{}) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); n != 1 || took > 15*time.Second {
			t.Errorf("%d files after %v", n, took)
		}
		began = time.Now()
		if _, _, err := c.Wait(t.Context(), client.Query{}, "", 0); err != nil || time.Since(began) != 0 {
			t.Errorf("the next request: %v after %v", err, time.Since(began))
		}
		// A watch may go on for longer.
		time.AfterFunc(time.Minute, func() { masters[0].follow(2) })
		changes := 0
		for range c.Watch(t.Context(), client.Query{}, client.WatchOptions{OnError: func(err error) { t.Error(err) }}) {
			if changes++; changes == 2 {
				break
			}
		}
	})
}

func TestScoutmasters(t *testing.T) {
	m := &fleetMaster{list: listing.New()}
	server := httptest.NewServer(web.NewHandler(m.list, m, func() error { return nil }, web.Options{}, zap.NewNop()))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Scouts(t.Context())
	want := []client.Scoutmaster{
		{Name: "a", URL: "http://a:3001", State: client.ScoutmasterLive, Revision: 3, Version: "v1"},
		{Name: "b", State: client.ScoutmasterCutOff, Scouts: 1},
	}
	if err != nil || !slices.Equal(r.Scoutmasters, want) || r.Scouts[0].Scoutmaster != "b" || !r.Scouts[0].Heard.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}
