//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
	"scout/internal/jetstream"
	"scout/internal/jetstream/natsserver"
)

const (
	natsServers = 3
	// logSize is the default of scoutmasters.
	logSize = 1 << 30
	// usualHeartbeat and usualDeadline are the defaults of scoutmasters.
	usualHeartbeat = time.Second
	usualDeadline  = 3 * time.Second
)

// sharedRows are about several scoutmasters that share a list over three NATS
// servers, all on this machine.
var sharedRows = []row{
	{
		name: "change → seen at another scoutmaster", reference: "one scoutmaster alone, and JetStream from publish to delivery", at: point{100, 100}, small: point{10, 10},
		run: sharedFresh,
		how: "A played scout has one more file at one scoutmaster, and one client asks another scoutmaster for its name until it is there. The references take turns: " +
			"the same at a scoutmaster that is alone, and an entry of the same size that is published on one connection and awaited on another.",
	},
	{
		name: "idle fleet, entries of the log", reference: "a Tick of each scoutmaster at each heartbeat", at: point{10_000, 10_000}, small: point{100, 100},
		run: sharedIdle,
		how: "Three scoutmasters with idle scouts. The reference is what they have to write to know of each other.",
	},
	{
		name: "changes of a busy fleet", reference: "JetStream alone, as fast as it goes", at: point{10_000, 10_000}, small: point{100, 100}, run: sharedBusy,
		how: "All scouts are at one of two scoutmasters, and files come all the time, at random scouts. 10,000 of them a second. " +
			"The heartbeat is 5 s: with one a second the scouts, which run on the same machine, would keep a core busy by themselves. " +
			"The rate is of changes that the other scoutmaster lists, from the first change to its list having all of them. The reference is of entries of the same size, from one connection to another.",
	},
	{
		name: "scoutmaster killed, all its scouts moved", reference: "the deadline of 3 s", at: point{1_000_000, 1000}, small: point{1000, 10}, run: sharedKill,
		how: "Three scoutmasters, and all scouts at one of them, which is killed. From then on until all are live at the others. No list may be shorter meanwhile. " +
			"Sent again are the names that scouts have sent though the list had them.",
	},
	{
		name: "scoutmaster that joins a fleet, until ready", reference: "the same bytes over NATS", at: point{10_000_000, 1000}, small: point{10_000, 10}, run: sharedJoin,
		how: "From the start of another scoutmaster to its being ready, with all files of the first, where files come one after the other meanwhile. " +
			"The reference is as many bytes as it has received, in answers of half a megabyte, from one connection to another by way of the same servers, and nothing done with them. " +
			"The two take turns, and files come during both. The reference for memory is what it has received, and for changes the same without a scoutmaster that joins.",
	},
	{
		name: "leader of the log killed, pause of changes", reference: "JetStream's own pause in publishing", at: point{100, 100}, small: point{10, 10}, run: sharedElection,
		how: "The NATS server that leads the log is killed while files come one by one. The longest time from a change to its being listed by another scoutmaster. " +
			"The reference is the longest time from a first attempt to publish to an acknowledgement, at another stream of the same servers.",
	},
}

// shared is a fleet with its NATS servers.
type shared struct {
	*testfleet.Fleet
	lab     *lab
	masters []*testfleet.Master
	dirs    []*testfleet.Directory
	leave   func() error // ends the scouts
}

// buildNATS builds nats-server once.
func (l *lab) buildNATS() (string, error) {
	binary := filepath.Join(l.dir, "nats-server")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	l.log("building nats-server")
	return natsserver.Build(l.dir)
}

// share starts NATS servers, and a scoutmaster of so many, with these flags. It ends
// with close.
func (l *lab) share(ctx context.Context, masters int, flags ...string) (*shared, error) {
	binary, err := l.buildNATS()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.dir, "nats-")
	if err != nil {
		return nil, err
	}
	s := &shared{lab: l, leave: func() error { return nil }}
	s.Fleet, err = testfleet.NewFleet(testfleet.FleetConfig{Programs: l.programs, NATS: binary, Dir: dir, Servers: natsServers, Masters: masters, Args: flags})
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// start starts the next scoutmaster, and waits until it is ready.
func (s *shared) start(ctx context.Context) error {
	p, err := testfleet.Launch(s.MasterCommand(len(s.masters)))
	if err != nil {
		return err
	}
	s.lab.endWithTask(ctx, p)
	m, err := p.Serving()
	if err != nil {
		return err
	}
	s.masters = append(s.masters, m)
	return ready(m)
}

// ready waits until a scoutmaster is ready.
func ready(m *testfleet.Master) error {
	for end := time.Now().Add(listTime); ; time.Sleep(askAgain) {
		_, err := m.Get("/readyz")
		if err == nil || time.Now().After(end) || m.Ended() {
			return err
		}
	}
}

// play plays scouts until leave.
func (s *shared) play(ctx context.Context, p point, masters ...string) error {
	if err := roomFor(2 * p.files); err != nil {
		return err
	}
	s.dirs = make([]*testfleet.Directory, p.scouts)
	for i := range s.dirs {
		s.dirs[i] = testfleet.NewDirectory(filestest.Names(i, p.files/p.scouts, filestest.Interleaved))
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	scouts := testfleet.PlayedScouts{Masters: masters, Directories: s.dirs}
	go func() { done <- scouts.Run(ctx) }()
	s.leave = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	return s.await(s.masters[0], p.files, p.scouts)
}

// series returns a value that a scoutmaster's metrics have. That costs it little, however
// many scouts there are.
func series(m *testfleet.Master, name string) (int, error) {
	page, err := m.Get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("%s has no %s", m.HTTP, name)
}

const (
	filesOfFleet  = "scoutmaster_fleet_files"
	scoutsOfFleet = `scoutmaster_fleet_scouts{state="live"}`
	scoutsOfOne   = `scoutmaster_scouts{state="live"}`
)

// await waits until a scoutmaster lists all files, of so many live scouts.
func (s *shared) await(m *testfleet.Master, files, scouts int) error {
	for end := time.Now().Add(listTime); ; time.Sleep(20 * time.Millisecond) {
		f, err := series(m, filesOfFleet)
		n, err2 := series(m, scoutsOfFleet)
		err = errors.Join(err, err2)
		if err == nil && f == files && n == scouts {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("wait for %d files of %d scouts, there are %d of %d", files, scouts, f, n), err)
		}
	}
}

func (s *shared) close() {
	if err := s.leave(); err != nil {
		s.lab.log("the scouts have ended: %v", err)
	}
	for _, m := range s.masters {
		m.Kill()
	}
	s.Close()
}

// connect opens a log of its own on the fleet's servers, or the fleet's.
func (s *shared) connect(ctx context.Context, name string) (*jetstream.Conn, error) {
	o := jetstream.Options{Fleet: name, Name: "bench", Bytes: logSize, Log: zap.NewNop()}
	for _, server := range s.Servers {
		o.URLs = append(o.URLs, server.URL())
	}
	return jetstream.Open(ctx, o)
}

// follow returns a channel with all entries of a log from now on.
func follow(ctx context.Context, c *jetstream.Conn) (<-chan []byte, error) {
	b, err := c.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	entries := make(chan []byte, 1024)
	go c.Follow(ctx, b.Made, b.Last+1, func(some []jetstream.Entry) error { //nolint:errcheck // ends with ctx
		for _, e := range some {
			select {
			case entries <- e.Data:
			case <-ctx.Done():
			}
		}
		return nil
	})
	return entries, nil
}

// pair is two connections to a log of their own.
type pair struct {
	writer, reader *jetstream.Conn
	entries        <-chan []byte
}

func (s *shared) pair(ctx context.Context) (*pair, error) {
	var p pair
	var err error
	if p.writer, err = s.connect(ctx, "bare"); err != nil {
		return nil, err
	}
	if p.reader, err = s.connect(ctx, "bare"); err != nil {
		return nil, err
	}
	p.entries, err = follow(ctx, p.reader)
	return &p, err
}

// shareBesideBare starts two scoutmasters, the first of which has the scouts, and a bare
// pair that uses the same servers.
func (l *lab) shareBesideBare(ctx context.Context, p point, flags ...string) (*shared, *pair, error) {
	s, err := l.share(ctx, 2, flags...)
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(s.play(ctx, p, s.Address(0)), s.start(ctx))
	if err != nil {
		s.close()
		return nil, nil, err
	}
	bare, err := s.pair(ctx)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s, bare, nil
}

func (p *pair) close() {
	p.writer.Close()
	p.reader.Close()
}

// entrySize is about that of a change of one name.
const entrySize = 120

// write publishes an entry and returns how long it took until it was delivered.
func (p *pair) write() (time.Duration, error) {
	began := time.Now()
	if err := p.writer.Append(make([]byte, entrySize)); err != nil {
		return 0, err
	}
	select {
	case <-p.entries:
		return time.Since(began), nil
	case <-time.After(listTime):
		return 0, errNotSeen
	}
}

// flood publishes entries as fast as that goes, and returns how many are delivered
// in a second.
func (p *pair) flood(n int) (float64, error) {
	began := time.Now()
	for range n {
		if _, err := p.writer.AppendAcknowledged(make([]byte, entrySize)); err != nil {
			return 0, err
		}
	}
	for range n {
		select {
		case <-p.entries:
		case <-time.After(listTime):
			return 0, errNotSeen
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// adder adds files to a played scout and waits until a scoutmaster lists them.
type adder struct {
	*asker
	dir   *testfleet.Directory
	added int
}

func (a *adder) add() (time.Duration, error) {
	a.added++
	name := fmt.Sprintf("added/%06d", a.added)
	began := time.Now()
	if err := a.dir.Add(name); err != nil {
		return 0, err
	}
	err := a.await(name, []byte(name), began.Add(30*time.Second))
	return time.Since(began), err
}

// addDuring adds files one after the other while do runs, and returns how long each
// took to be listed.
func (a *adder) addDuring(do func() error) (took []float64, err error) {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		select {
		case err := <-done:
			return took, err
		case <-time.After(20 * time.Millisecond): // its requests take most of a core
		}
		d, err := a.add()
		if err != nil {
			return nil, errors.Join(err, <-done)
		}
		took = append(took, d.Seconds())
	}
}

func sharedFresh(ctx context.Context, l *lab, p point) (res result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, bare, err := l.shareBesideBare(ctx, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer bare.close()
	alone, err := l.newStage(ctx, p, interleaved)
	if err != nil {
		return res, err
	}
	defer alone.close()
	elsewhere, here := adder{dir: s.dirs[0]}, adder{dir: alone.sources[0]}
	if elsewhere.asker, err = newAsker(ctx, s.masters[1].HTTP); err != nil {
		return res, err
	}
	defer elsewhere.close()
	if here.asker, err = newAsker(ctx, alone.master.HTTP); err != nil {
		return res, err
	}
	defer here.close()
	var took [3][]float64
	for range l.rounds(1000, 60) {
		for i, one := range []func() (time.Duration, error){elsewhere.add, here.add, bare.write} {
			d, err := one()
			if err != nil {
				return res, err
			}
			took[i] = append(took[i], d.Seconds())
			testfleet.Sleep(ctx, 2*time.Millisecond)
		}
	}
	p50, own := median(took[0]), median(took[1])+median(took[2])
	res.add(
		figure{name: "p50", unit: seconds, value: p50, reference: own},
		figure{name: "p50, beyond both references", unit: seconds, value: max(0, p50-own), bound: atMost(0.5e-3)},
		figure{name: "p99", unit: seconds, value: quantile(took[0], 0.99), reference: quantile(took[1], 0.99) + quantile(took[2], 0.99), bound: atMost(10e-3)},
	)
	return res, nil
}

func sharedIdle(ctx context.Context, l *lab, p point) (res result, err error) {
	s, err := l.share(ctx, 3)
	if err != nil {
		return res, err
	}
	defer s.close()
	if err := errors.Join(s.start(ctx), s.start(ctx), s.play(ctx, p, s.Address(0), s.Address(1), s.Address(2))); err != nil {
		return res, err
	}
	conn, err := s.connect(ctx, "scout")
	if err != nil {
		return res, err
	}
	defer conn.Close()
	testfleet.Sleep(ctx, l.lasting(10*time.Second, 2*time.Second))
	before, err := conn.Bounds(ctx)
	if err != nil {
		return res, err
	}
	watched := l.lasting(20*time.Second, 5*time.Second)
	testfleet.Sleep(ctx, watched)
	after, err := conn.Bounds(ctx)
	if err != nil {
		return res, err
	}
	res.add(figure{
		unit: perSecond, value: float64(after.Last-before.Last) / watched.Seconds(),
		reference: 3 / usualHeartbeat.Seconds(), bound: atMostTimes(1.1),
	})
	return res, nil
}

func sharedBusy(ctx context.Context, l *lab, p point) (res result, err error) {
	s, bare, err := l.shareBesideBare(ctx, p, "-heartbeat", "5s", "-deadline", "15s", "-cut-off", "30s")
	if err != nil {
		return res, err
	}
	defer s.close()
	defer bare.close()
	const rate = 10_000
	lasts := l.lasting(10*time.Second, time.Second)
	total := int(rate * lasts.Seconds())
	before, err := s.cpu()
	if err != nil {
		return res, err
	}
	began := time.Now()
	for i := range total {
		if early := time.Until(began.Add(time.Duration(i) * time.Second / rate)); early > time.Millisecond {
			testfleet.Sleep(ctx, early)
		}
		if err := s.dirs[rand.IntN(len(s.dirs))].Add(fmt.Sprintf("busy/%07d", i)); err != nil {
			return res, err
		}
	}
	made := time.Since(began)
	if err := s.await(s.masters[1], p.files+total, p.scouts); err != nil {
		return res, err
	}
	took := time.Since(began)
	after, err := s.cpu()
	if err != nil {
		return res, err
	}
	each := func(i int) string { return seconds.format((after[i] - before[i]).Seconds() / float64(total)) }
	res.note("Processor time of a change, with that of heartbeats: %s at the scoutmaster that has the scouts, %s at the other, %s at the three NATS servers together, and %s at what plays the scouts.",
		each(0), each(1), each(2), each(3))
	alone, err := bare.flood(total)
	if err != nil {
		return res, err
	}
	res.add(
		figure{name: "listed", unit: perSecond, value: float64(total) / took.Seconds(), reference: alone, bound: atLeast(rate * 0.95)},
		figure{name: "last change → listed", unit: seconds, value: (took - made).Seconds()},
	)
	return res, nil
}

// cpu returns the processor time that the first two scoutmasters have used, the NATS
// servers together, and this process.
func (s *shared) cpu() (used [4]time.Duration, err error) {
	pids := [][]int{{s.masters[0].Process.Process.Pid}, {s.masters[1].Process.Process.Pid}, nil, {os.Getpid()}}
	for _, server := range s.Servers {
		pids[2] = append(pids[2], server.PID())
	}
	for i, of := range pids {
		for _, pid := range of {
			one, err := testfleet.CPUOf(pid)
			if err != nil {
				return used, err
			}
			used[i] += one
		}
	}
	return used, nil
}

func sharedKill(ctx context.Context, l *lab, p point) (res result, err error) {
	s, err := l.share(ctx, 3)
	if err != nil {
		return res, err
	}
	defer s.close()
	// The others start later, so that all scouts are at the first one.
	if err := errors.Join(s.play(ctx, p, s.Address(0), s.Address(1), s.Address(2)), s.start(ctx), s.start(ctx)); err != nil {
		return res, err
	}
	least, from := p.files, []int{len(s.masters[1].Events()), len(s.masters[2].Events())}
	s.masters[0].Kill()
	began := time.Now()
	for {
		files, err := series(s.masters[1], filesOfFleet)
		moved := 0
		for _, m := range s.masters[1:] {
			n, failed := series(m, scoutsOfOne)
			moved, err = moved+n, errors.Join(err, failed)
		}
		if err != nil || time.Since(began) > listTime {
			return res, errors.Join(err, fmt.Errorf("%d scouts have moved", moved))
		}
		if least = min(least, files); moved == p.scouts {
			break
		}
		testfleet.Sleep(ctx, 20*time.Millisecond)
	}
	took := time.Since(began)
	var again float64
	for i, m := range s.masters[1:] {
		for _, e := range m.Logged(from[i], "files synced") {
			again += e.Number("added")
		}
	}
	res.add(
		figure{name: "time", unit: seconds, value: took.Seconds(), reference: usualDeadline.Seconds(), bound: atMost((usualDeadline + 3*time.Second).Seconds())},
		figure{name: "names sent again", unit: ofAll, value: again / float64(p.files), bound: atMost(0.01)},
		figure{name: "names missing meanwhile", unit: ofAll, value: float64(p.files-least) / float64(p.files), bound: atMost(0)},
	)
	return res, nil
}

func sharedJoin(ctx context.Context, l *lab, p point) (res result, err error) {
	rounds := l.rounds(3, 1)
	s, err := l.share(ctx, 1+rounds)
	if err != nil {
		return res, err
	}
	defer s.close()
	if err := s.play(ctx, p, s.Address(0)); err != nil {
		return res, err
	}
	if err := s.masters[0].Rest(ctx, time.Minute); err != nil {
		return res, err
	}
	changes := adder{dir: s.dirs[0]}
	if changes.asker, err = newAsker(ctx, s.masters[0].HTTP); err != nil {
		return res, err
	}
	defer changes.close()
	var joined, bare, before, meanwhile []float64
	var n newcomer
	peak := int64(0)
	for range rounds {
		took, err := changes.addDuring(func() error {
			testfleet.Sleep(ctx, l.lasting(3*time.Second, 100*time.Millisecond))
			return nil
		})
		if err != nil {
			return res, err
		}
		before = append(before, took...)
		took, err = changes.addDuring(func() error {
			n, err = s.join(ctx)
			return err
		})
		if err != nil {
			return res, err
		}
		meanwhile, joined, peak = append(meanwhile, took...), append(joined, n.ready.Seconds()), max(peak, n.peak)
		if err := s.await(n.Master, p.files+changes.added, p.scouts); err != nil {
			return res, err
		}
		if _, err := n.Terminate(); err != nil {
			return res, err
		}
		_, err = changes.addDuring(func() error {
			alone, err := s.transfer(ctx, int(n.received))
			bare = append(bare, alone.Seconds())
			return err
		})
		if err != nil {
			return res, err
		}
	}
	res.add(
		figure{unit: seconds, value: median(joined), reference: median(bare), bound: atMostTimes(3)},
		figure{name: "most memory until then", unit: byteCount, value: float64(peak), reference: float64(n.received)},
		figure{name: "change → listed at the other one meanwhile, p50", unit: seconds, value: median(meanwhile), reference: median(before)},
		figure{name: "change → listed at the other one meanwhile, p99", unit: seconds, value: quantile(meanwhile, 0.99), reference: quantile(before, 0.99)},
	)
	res.note("%s received, of %d scouts; %s of processor time until ready; %d changes meanwhile.",
		byteCount.format(float64(n.received)), p.scouts, seconds.format(n.cpu.Seconds()), len(meanwhile))
	return res, nil
}

// newcomer is a scoutmaster that has just become ready.
type newcomer struct {
	*testfleet.Master
	ready          time.Duration // since its start
	received, peak int64         // bytes until then: from connections and files, and of memory
	cpu            time.Duration
}

// join starts the next scoutmaster.
func (s *shared) join(ctx context.Context) (n newcomer, err error) {
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return n, err
	}
	n.ready = time.Since(began)
	n.Master = s.masters[len(s.masters)-1]
	var errs [3]error
	n.received, errs[0] = n.Read()
	n.peak, errs[1] = n.Peak()
	n.cpu, errs[2] = n.CPU()
	return n, errors.Join(errs[:]...)
}

// transferPart is how many bytes of a state an answer has.
const transferPart = 512 << 10

// transfer moves bytes from one connection to another, an answer at a time.
func (s *shared) transfer(ctx context.Context, size int) (time.Duration, error) {
	p, err := s.pair(ctx)
	if err != nil {
		return 0, err
	}
	defer p.close()
	serving, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	defer done.Wait()
	defer stop()
	part := make([]byte, transferPart)
	done.Go(func() {
		p.writer.Serve(serving, "bench", func(context.Context, []byte) ([]byte, error) { return part, nil }) //nolint:errcheck // the requests say it
	})
	for end := time.Now().Add(time.Minute); ; {
		if _, err := p.reader.Request(ctx, "bench", nil); err == nil {
			break
		} else if time.Now().After(end) {
			return 0, err
		}
	}
	began := time.Now()
	for got := 0; got < size; got += transferPart {
		if _, err := p.reader.Request(ctx, "bench", nil); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func sharedElection(ctx context.Context, l *lab, p point) (res result, err error) {
	if l.short {
		return res, skip("elections take most of a minute")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, bare, err := l.shareBesideBare(ctx, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer bare.close()
	published := func() (time.Duration, error) {
		began := time.Now()
		for {
			again, end := context.WithTimeout(ctx, time.Second)
			pending, err := bare.writer.AppendAcknowledged(make([]byte, entrySize))
			if err == nil {
				_, err = pending.Wait(again)
			}
			end()
			if err == nil || time.Since(began) > time.Minute {
				return time.Since(began), err
			}
			testfleet.Sleep(ctx, 10*time.Millisecond)
		}
	}
	engine, err := s.killLeader(ctx, "SCOUT_bare", published)
	if err != nil {
		return res, err
	}
	files := adder{dir: s.dirs[0]}
	if files.asker, err = newAsker(ctx, s.masters[1].HTTP); err != nil {
		return res, err
	}
	defer files.close()
	ours, err := s.killLeader(ctx, "SCOUT_scout", files.add)
	if err != nil {
		return res, err
	}
	res.add(
		figure{unit: seconds, value: ours, reference: engine},
		figure{name: "beyond the reference", unit: seconds, value: max(0, ours-engine), bound: atMost(1)},
	)
	for _, m := range s.masters {
		if len(m.Logged(0, "cut off")) > 0 {
			res.note("A scoutmaster was cut off.")
		}
	}
	return res, nil
}

// killLeader kills the server that leads a stream, and starts it again. It returns
// the longest time that do has taken around that.
func (s *shared) killLeader(ctx context.Context, stream string, do func() (time.Duration, error)) (longest float64, err error) {
	leader, err := s.leader(ctx, stream)
	if err != nil {
		return 0, err
	}
	killed := false
	for began := time.Now(); time.Since(began) < 15*time.Second; testfleet.Sleep(ctx, 5*time.Millisecond) {
		if !killed && time.Since(began) > time.Second {
			leader.Kill()
			killed = true
		}
		d, err := do()
		if err != nil {
			return 0, err
		}
		longest = max(longest, d.Seconds())
	}
	if err := leader.Start(); err != nil {
		return 0, err
	}
	testfleet.Sleep(ctx, 5*time.Second) // it catches up
	return longest, leader.Await()
}

// leader returns the server that leads a stream.
func (s *shared) leader(ctx context.Context, stream string) (*natsserver.Server, error) {
	conn, err := nats.Connect(s.NATS())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := natsjs.New(conn)
	if err != nil {
		return nil, err
	}
	found, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	var i int
	if _, err := fmt.Sscanf(found.CachedInfo().Cluster.Leader, "n%d", &i); err != nil {
		return nil, err
	}
	return s.Servers[i], nil
}
