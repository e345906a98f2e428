//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

// How fast the fleets of tests notice things.
const (
	fleetHeartbeat = 200 * time.Millisecond
	fleetDeadline  = 1500 * time.Millisecond
	fleetCutOff    = 4 * time.Second
)

// buildNATS builds nats-server once for all tests that need it.
var buildNATS = sync.OnceValues(func() (string, error) { return natsserver.Build(filepath.Dir(programs.Scout)) })

// fleet are several scoutmasters that share a list.
type fleet struct {
	*testfleet.Fleet
	t       *testing.T
	masters []*master // those that were started, in their last lives
	running []bool
}

// newFleet starts the NATS servers of a fleet, whose scoutmasters are not started.
func newFleet(t *testing.T, servers, masters int, args ...string) *fleet {
	t.Helper()
	return newFleetWith(t, testfleet.FleetConfig{Servers: servers, Masters: masters, Args: args})
}

func newFleetWith(t *testing.T, c testfleet.FleetConfig) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	nats, err := buildNATS()
	must(t, err)
	c.Programs, c.NATS = programs, nats
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.Args = append([]string{
		"-heartbeat", fleetHeartbeat.String(), "-deadline", fleetDeadline.String(), "-cut-off", fleetCutOff.String(),
	}, c.Args...)
	f := &fleet{t: t, masters: make([]*master, c.Masters), running: make([]bool, c.Masters)}
	f.Fleet, err = testfleet.NewFleet(c)
	must(t, err)
	t.Cleanup(func() {
		f.Close()
		if t.Failed() {
			f.tellNATS()
		}
	})
	return f
}

// tellNATS logs how the logs of the NATS servers end.
func (f *fleet) tellNATS() {
	for i, s := range f.Servers {
		text, err := os.ReadFile(s.Log())
		lines := strings.Split(string(text), "\n")
		f.t.Logf("NATS server n%d at %s, %v:\n%s", i, s.Address(), err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
}

// startFleet starts a fleet and waits until all scoutmasters are ready.
func startFleet(t *testing.T, servers, masters int, args ...string) *fleet {
	t.Helper()
	f := newFleet(t, servers, masters, args...)
	f.startAll()
	return f
}

func (f *fleet) startAll(args ...string) {
	f.t.Helper()
	for i := range f.masters {
		f.launch(f.MasterCommand(i, args...), i)
	}
	for i := range f.masters {
		f.ready(i)
	}
}

// start starts a scoutmaster, perhaps again, and waits until it is ready.
func (f *fleet) start(i int, args ...string) {
	f.t.Helper()
	f.launch(f.MasterCommand(i, args...), i)
	f.ready(i)
}

// launch starts a command that is the i-th scoutmaster.
func (f *fleet) launch(cmd *exec.Cmd, i int) {
	f.t.Helper()
	f.masters[i], f.running[i] = serving(f.t, launch(f.t, cmd)), true
}

// ready waits until a scoutmaster is ready.
func (f *fleet) ready(i int) time.Duration {
	f.t.Helper()
	return within(f.t, patience, func() error { return f.masters[i].isReady() })
}

// isReady returns why a scoutmaster is not ready, or nil.
func (m *master) isReady() error {
	_, err := m.Get("/readyz")
	return err
}

// kill ends a scoutmaster the hard way.
func (f *fleet) kill(i int) {
	f.t.Helper()
	kill(f.t, f.masters[i].Process)
	f.running[i] = false
}

// stop ends a scoutmaster in good order.
func (f *fleet) stop(i int) {
	f.t.Helper()
	expectExit(f.t, f.masters[i].Process, syscall.SIGTERM, soon)
	f.running[i] = false
}

// others returns the scoutmasters that run, but one.
func (f *fleet) others(but int) (all []*master) {
	for i, m := range f.masters {
		if i != but && f.running[i] {
			all = append(all, m)
		}
	}
	return all
}

// startScout starts a scout that knows all scoutmasters, and waits until it is
// registered.
func (f *fleet) startScout(host, dir string, args ...string) *scout {
	f.t.Helper()
	return startScoutAt(f.t, f.Addresses(), host, dir, args...)
}

// startScouts starts scouts of directories with so many files each, until one of
// them has come to each scoutmaster.
func (f *fleet) startScouts(files int) (scouts []*scout) {
	f.t.Helper()
	homes := make(map[int]bool)
	for i := 0; len(homes) < len(f.others(-1)); i++ {
		dir := tempDir(f.t)
		fill(f.t, dir, files)
		s := f.startScout(fmt.Sprint("h", i), dir)
		homes[f.home(s)] = true
		scouts = append(scouts, s)
	}
	return scouts
}

// startListedFleet starts a fleet with scouts of so many files each, and waits until they
// are listed.
func startListedFleet(t *testing.T, servers, masters, files int, args ...string) (*fleet, []*scout) {
	t.Helper()
	f := startFleet(t, servers, masters, args...)
	scouts := f.startScouts(files)
	f.agree(scouts...)
	return f, scouts
}

// moved waits until scouts have registered a second time.
func (f *fleet) moved(scouts []*scout) {
	f.t.Helper()
	took := within(f.t, patience, func() error {
		for _, s := range scouts {
			if n := len(s.Logged(0, "registered")); n < 2 {
				return fmt.Errorf("%s has registered %d times", s.host, n)
			}
		}
		return nil
	})
	f.t.Logf("%d scouts have moved after %s", len(scouts), took.Round(time.Millisecond))
}

// home returns which scoutmaster a scout has registered at last.
func (f *fleet) home(s *scout) int {
	f.t.Helper()
	registered := s.Logged(0, "registered")
	for i := range f.masters {
		if len(registered) > 0 && registered[len(registered)-1].Text("master") == f.Address(i) {
			return i
		}
	}
	f.t.Fatalf("%s is registered nowhere: %s", s.host, s.Tail())
	return -1
}

// homed returns the scouts that are registered at a scoutmaster.
func (f *fleet) homed(i int, scouts []*scout) []*scout {
	f.t.Helper()
	return slices.DeleteFunc(slices.Clone(scouts), func(s *scout) bool { return f.home(s) != i })
}

// agree waits until each scoutmaster that runs lists what find says of the scouts'
// directories, and all call it the same. One of them may be ahead for a moment, with an
// entry that does not change these names, such as that a scoutmaster is buried.
func (f *fleet) agree(scouts ...*scout) {
	f.t.Helper()
	within(f.t, patience, func() error {
		tags := make(map[string]bool)
		for _, m := range f.others(-1) {
			converges(f.t, m, scouts...)
		}
		for _, m := range f.others(-1) {
			_, tag, err := m.ask("/files", "")
			must(f.t, err)
			tags[tag] = true
		}
		if len(tags) != 1 {
			return fmt.Errorf("one list is called %v", tags)
		}
		return nil
	})
}

// lost waits until other scoutmasters log that one is lost, and why.
func (f *fleet) lost(i int, from []int, reason string) {
	f.t.Helper()
	for n, m := range f.masters {
		if n == i || !f.running[n] {
			continue
		}
		e, err := m.Await(patience, from[n], func(e testfleet.Event) bool {
			return e.Msg() == "scoutmaster lost" && e.Text("name") == f.Name(i)
		})
		if err != nil || e.Text("reason") != reason {
			f.t.Errorf("%s says of %s: %v, %v; want %q; %s", f.Name(n), f.Name(i), e, err, reason, m.Tail())
		}
	}
}

// logged returns how long each scoutmaster's log is.
func (f *fleet) logged() []int {
	n := make([]int, len(f.masters))
	for i, m := range f.masters {
		if m != nil {
			n[i] = len(m.Events())
		}
	}
	return n
}

// hopper is a reader behind a load balancer: it asks another scoutmaster each time,
// with the tag of the answer before. It fails the test when names are missing, or
// time runs backwards.
type hopper struct {
	f      *fleet
	urls   []string // of the scoutmasters
	client *http.Client
	done   func() // ends the reading, once, and reports what was wrong
	next   int    // scoutmaster to ask

	mu     sync.Mutex
	away   map[int]bool        // these need not answer
	kept   map[*scout][]string // these are listed in every answer
	least  int                 // so many files are
	stalls bool                // the log may stand still, so that scoutmasters may be behind the tag
	tag    string
	epoch  string
	at     uint64 // revision
	reads  int
}

// hop begins to read: all files of the scouts are in every answer until the test
// ends or is told otherwise. Scoutmasters that were never started need not answer.
func (f *fleet) hop(scouts ...*scout) *hopper {
	f.t.Helper()
	h := &hopper{
		f: f, away: make(map[int]bool), kept: make(map[*scout][]string),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	for _, s := range scouts {
		h.kept[s] = find(f.t, s.dir)
	}
	for i, m := range f.masters {
		h.urls = append(h.urls, "")
		if h.away[i] = m == nil; m != nil {
			h.urls[i] = "http://" + m.HTTP + "/files"
		}
	}
	stop := repeat(f.t, 10*time.Millisecond, h.read)
	h.done = sync.OnceFunc(func() {
		if err := stop(); err != nil {
			f.t.Errorf("read %d: %v", h.reads, err)
		}
		if h.reads < len(h.urls) {
			f.t.Errorf("the list was read %d times", h.reads)
		}
	})
	f.t.Cleanup(h.done)
	return h
}

func (h *hopper) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// isAway says that a scoutmaster need not answer from now on.
func (h *hopper) isAway(i int) { h.set(func() { h.away[i] = true }) }

// isBack says that it must.
func (h *hopper) isBack(i int) { h.set(func() { delete(h.away, i) }) }

// errAway says that a scoutmaster did not answer that need not.
var errAway = errors.New("it need not answer")

// read asks the next scoutmaster.
func (h *hopper) read() error {
	i := h.next
	h.next = (i + 1) % len(h.urls)
	answer, body, err := h.get(i)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
	case h.away[i], errors.Is(err, errAway):
		return nil
	default:
		return fmt.Errorf("%s: %w", h.f.Name(i), err)
	}
	h.reads++
	if answer.StatusCode == http.StatusNotModified {
		return nil
	}
	entries, err := testfleet.ParseList(body)
	if err != nil {
		return fmt.Errorf("%s: %w", h.f.Name(i), err)
	}
	for s, names := range h.kept {
		if missing := testfleet.Without(names, testfleet.Names(entries, s.host, s.dir)); len(missing) > 0 {
			return fmt.Errorf("%s lacks %d of %d names of %s, such as %.99q", h.f.Name(i), len(missing), len(names), s.host, missing[0])
		}
	}
	if len(entries) < h.least {
		return fmt.Errorf("%s lists %d files", h.f.Name(i), len(entries))
	}
	return h.advance(answer.Header.Get("ETag"))
}

// get asks a scoutmaster.
func (h *hopper) get(i int) (*http.Response, []byte, error) {
	h.mu.Lock()
	away, tag := h.away[i], h.tag
	h.mu.Unlock()
	if away {
		return nil, nil, errAway
	}
	answer, body, err := testfleet.Do(h.client, http.MethodGet, h.urls[i], ifNoneMatch(tag))
	if err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusNotModified:
		return answer, body, nil
	case http.StatusServiceUnavailable:
		if h.stalls {
			return nil, nil, errAway
		}
	}
	return nil, nil, fmt.Errorf("%s: %s", answer.Status, body)
}

// advance notes the tag of an answer, which may not be older than the one before.
func (h *hopper) advance(tag string) error {
	epoch, rest, ok := strings.Cut(strings.TrimPrefix(strings.Trim(tag, `"`), `W/"`), "-")
	var revision uint64
	if _, err := fmt.Sscan(strings.SplitN(rest, "-", 2)[0], &revision); err != nil || !ok {
		return fmt.Errorf("the tag is %q", tag)
	}
	if epoch < h.epoch || epoch == h.epoch && revision < h.at {
		return fmt.Errorf("time ran backwards, from %s to %s", h.tag, tag)
	}
	h.tag, h.epoch, h.at = tag, epoch, revision
	return nil
}

// jetStream connects to a NATS server of the fleet, as its operator.
func (f *fleet) jetStream(server int) jetstream.JetStream {
	f.t.Helper()
	nc, err := nats.Connect(f.Servers[server].URL())
	must(f.t, err)
	f.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(f.t, err)
	return js
}

// streamName is the stream of the fleet that the tests use.
const streamName = "SCOUT_scout"

// stream returns what the first NATS server says about the log.
func (f *fleet) stream() *jetstream.StreamInfo {
	f.t.Helper()
	s, err := f.jetStream(0).Stream(f.t.Context(), streamName)
	must(f.t, err)
	return s.CachedInfo()
}

// leader returns which NATS server leads the log.
func (f *fleet) leader() (leader int) {
	f.t.Helper()
	js := f.jetStream(0)
	within(f.t, patience, func() error {
		s, err := js.Stream(f.t.Context(), streamName)
		if err != nil {
			return err
		}
		if c := s.CachedInfo().Cluster; c != nil && c.Leader != "" {
			_, err := fmt.Sscanf(c.Leader, "n%d", &leader)
			return err
		}
		return errors.New("the log has no leader")
	})
	return leader
}

// replicated waits until all NATS servers have the whole log.
func (f *fleet) replicated() {
	f.t.Helper()
	js := f.jetStream(0)
	within(f.t, patience, func() error {
		s, err := js.Stream(f.t.Context(), streamName)
		if err != nil {
			return err
		}
		c := s.CachedInfo().Cluster
		if len(c.Replicas) != len(f.Servers)-1 {
			return fmt.Errorf("%d followers", len(c.Replicas))
		}
		for _, r := range c.Replicas {
			if !r.Current || r.Offline || r.Lag > 0 {
				return fmt.Errorf("%s is not current", r.Name)
			}
		}
		return nil
	})
}

// restart starts a NATS server again.
func (f *fleet) restart(server int) {
	f.t.Helper()
	must(f.t, f.Servers[server].Start())
	must(f.t, f.Servers[server].Await())
}

// isCutOff waits until a scoutmaster says that it is cut off, to everybody.
func (f *fleet) isCutOff(i, from int) {
	f.t.Helper()
	awaitFrom(f.t, f.masters[i].Process, from, "cut off")
	for _, path := range []string{"/readyz", "/files", "/files?watch=true&format=ndjson", "/files?fresh=1s"} {
		r, body, err := testfleet.Do(client, http.MethodGet, "http://"+f.masters[i].HTTP+path, nil)
		must(f.t, err)
		if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "/problems/cut-off") || r.Header.Get("Retry-After") == "" {
			f.t.Errorf("%s is cut off and answers to %s: %s, Retry-After %q: %.300s", f.Name(i), path, r.Status, r.Header.Get("Retry-After"), body)
		}
	}
}

// areCutOff waits until all scoutmasters say that they are cut off.
func (f *fleet) areCutOff(from []int) {
	f.t.Helper()
	for i := range f.masters {
		f.isCutOff(i, from[i])
	}
}

// awaitAll waits until all scoutmasters log an event.
func (f *fleet) awaitAll(from []int, msg string) {
	f.t.Helper()
	for i, m := range f.masters {
		awaitFrom(f.t, m.Process, from[i], msg)
	}
}

// never fails if a scoutmaster has logged an event.
func (f *fleet) never(msgs ...string) {
	f.t.Helper()
	for _, m := range f.masters {
		never(f.t, m.Process, 0, msgs...)
	}
}
