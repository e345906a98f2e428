//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

const (
	sharing = 3 // masters, and NATS servers
	cutOff  = 4 * time.Second
	// busyRest is the longest time between two faults of masters or NATS servers.
	busyRest = 6 * time.Second
	// standstill is how long the log stands still, at least, so that masters write what
	// has not come back once more.
	standstill = 2200 * time.Millisecond
	// logName is the stream that is the log of the fleet "scout".
	logName = "SCOUT_scout"
)

// servers are the NATS servers, and the links of each master to them.
type servers struct {
	all   []*natsserver.Server
	links [][]*testfleet.Proxy // by master
}

// startFleet starts masters that share the list.
func (r *run) startFleet(args []string) error {
	all, err := natsserver.Start(natsserver.Config{Binary: r.nats, Dir: filepath.Join(r.dir, "nats"), Servers: sharing})
	if err != nil {
		return err
	}
	r.servers = &servers{all: all}
	for i := range sharing {
		m, err := r.sharingMaster(i, args)
		if err != nil {
			return err
		}
		r.masters = append(r.masters, m)
	}
	for _, m := range r.masters {
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// sharingMaster returns the i-th master, which is not started.
func (r *run) sharingMaster(i int, args []string) (*master, error) {
	var links []*testfleet.Proxy
	var urls []string
	for _, s := range r.servers.all {
		p, err := testfleet.NewProxy(s.Address())
		if err != nil {
			return nil, err
		}
		links, urls = append(links, p), append(urls, "nats://"+p.Address())
	}
	r.servers.links = append(r.servers.links, links)
	var addresses [2]string
	for n := range addresses {
		port, err := testfleet.FreePort()
		if err != nil {
			return nil, err
		}
		addresses[n] = "127.0.0.1:" + port
	}
	own := []string{"-name", fmt.Sprint("master-", i), "-nats", strings.Join(urls, ","), "-cut-off", cutOff.String(), "-log-bytes", "8MiB"}
	return &master{programs: r.programs, args: append(own, args...), shares: true, grpc: addresses[0], http: addresses[1]}, nil
}

func (s *servers) close() {
	if s == nil {
		return
	}
	for _, links := range s.links {
		for _, p := range links {
			p.Close()
		}
	}
	for _, server := range s.all {
		server.Thaw()
		server.Kill()
	}
}

// injectMasters causes faults of random masters, one at a time, until ctx is done. The
// bystanders are scouts that have no faults of their own.
func (p *injector) injectMasters(ctx context.Context, masters []*master, bystanders []*scout, s *servers, calm time.Duration) error {
	for testfleet.Sleep(ctx, p.upTo(calm)) {
		n := p.IntN(len(masters))
		m := masters[n]
		if p.IntN(8) == 0 {
			if err := p.burst(func() error { return p.perish(ctx, m, bystanders) }); err != nil {
				return fmt.Errorf("master %d and a scout: %w", n, err)
			}
			continue
		}
		strikes := []func(context.Context, time.Duration) error{
			p.endMaster(m, history.OneMaster, (*program).kill),
			p.endMaster(m, history.OneMaster, (*program).stop),
			p.pauseMaster(m, history.OneMaster),
			p.partition(s.links[n], testfleet.Condition{Cut: true}),
			p.partition(s.links[n], testfleet.Condition{Silent: true, Deaf: true}),
			p.partition(s.links[n], testfleet.Condition{Deaf: true}),
		}
		strike, length := strikes[p.IntN(len(strikes))], p.length()
		if err := p.burst(func() error { return strike(ctx, length) }); err != nil {
			return fmt.Errorf("master %d: %w", n, err)
		}
	}
	return nil
}

// burst causes a fault while no rival tries its luck.
func (p *injector) burst(do func() error) error {
	p.peace.RLock()
	defer p.peace.RUnlock()
	return do()
}

// perish ends a master together with one of its scouts, which has no other faults: for
// so long that the scout's files must leave the list, or so that it is back while what
// it has shown may still be there.
func (p *injector) perish(ctx context.Context, m *master, scouts []*scout) error {
	i := slices.IndexFunc(scouts, func(s *scout) bool { return s.home() == m.grpc })
	if i < 0 {
		return nil
	}
	s, length := scouts[i], p.bounds.Burial*5/4
	if p.IntN(2) == 0 {
		length = p.upTo(2 * p.bounds.Deadline)
	}
	end := p.recorder.fault(history.Dead, s.number)
	begin := func() error {
		if err := m.pause(); err != nil { // the scout must not move before it ends
			return err
		}
		if err := s.kill(); err != nil {
			return err
		}
		end.reach(history.On)
		return m.kill()
	}
	return p.fault(ctx, p.recorder.fault(history.OneMaster, history.All), length, begin, func() error {
		returning, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
		defer cancel()
		end.reach(history.Off)
		if err := errors.Join(s.start(returning), m.start()); err != nil {
			return err
		}
		end.reach(history.Over)
		return nil
	})
}

// rivalPause is the longest time between two rivals, and quietTime how long all
// masters must have been ready before one comes.
const (
	rivalPause = 30 * time.Second
	quietTime  = 2 * time.Second
)

// injectRivals starts scouts that have the host and the directory of another one, as
// two containers may, while no master has a fault. None may be let in.
func (p *injector) injectRivals(ctx context.Context, r *run, scouts []*scout) error {
	dir := filepath.Join(r.dir, "rival")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := create(filepath.Join(dir, "of a rival")); err != nil {
		return err
	}
	for testfleet.Sleep(ctx, p.upTo(rivalPause)) {
		s := scouts[p.IntN(len(scouts))]
		if err := p.rival(ctx, r, s, dir); err != nil {
			return fmt.Errorf("a rival of scout %d: %w", s.number, err)
		}
	}
	return nil
}

func (p *injector) rival(ctx context.Context, r *run, s *scout, dir string) error {
	p.peace.Lock()
	defer p.peace.Unlock()
	if !r.settles(ctx, s) {
		return nil
	}
	p.recorder.count(history.Rival)
	rival, err := testfleet.Launch(s.rivalCommand(dir))
	if err != nil {
		return err
	}
	defer rival.Kill()
	_, err = rival.Await(startTime, 0, func(e testfleet.Event) bool { return e.Msg() == "registered" })
	switch {
	case err == nil:
		s.mu.Lock()
		s.complain("lost its directory to a rival")
		s.mu.Unlock()
	case !errors.Is(err, io.EOF): // it has not been refused either
		return err
	}
	return nil
}

// settles waits until all masters have been ready and the scout has been registered for
// a while. It reports whether they have.
func (r *run) settles(ctx context.Context, s *scout) bool {
	for since, home := time.Now(), ""; time.Since(since) < quietTime; {
		if now := s.home(); now == "" || now != home || !r.allReady(ctx) {
			since, home = time.Now(), now
		}
		if !testfleet.Sleep(ctx, restartPause) {
			return false
		}
	}
	return true
}

func (r *run) allReady(ctx context.Context) bool {
	return !slices.ContainsFunc(r.masters, func(m *master) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/readyz", http.NoBody)
		if err != nil {
			return true
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return true
		}
		return answer.Body.Close() != nil || answer.StatusCode != http.StatusOK
	})
}

// partition returns a function that puts a master's links to NATS into a condition.
func (p *injector) partition(links []*testfleet.Proxy, c testfleet.Condition) func(context.Context, time.Duration) error {
	set := func(c testfleet.Condition) func() error {
		return func() error {
			for _, l := range links {
				l.Set(c)
			}
			return nil
		}
	}
	return func(ctx context.Context, d time.Duration) error {
		return p.fault(ctx, p.recorder.fault(history.OneMaster, history.All), d, set(c), set(testfleet.Condition{}))
	}
}

// injectServers causes faults of the NATS servers and of their data in the same way.
func (p *injector) injectServers(ctx context.Context, s *servers, calm time.Duration) error {
	for testfleet.Sleep(ctx, calm/2+p.upTo(2*calm)) {
		n := p.IntN(len(s.all))
		if err := p.burst(func() error { return p.injectServer(ctx, s, n, p.length()) }); err != nil {
			return fmt.Errorf("NATS server %d: %w", n, err)
		}
	}
	return nil
}

func (p *injector) injectServer(ctx context.Context, s *servers, n int, d time.Duration) error {
	one, other := s.all[n], s.all[(n+1)%len(s.all)]
	both := func(do func(*natsserver.Server)) func() error { return done(func() { do(one); do(other) }) }
	switch p.IntN(12) {
	case 0, 1, 2:
		return p.fault(ctx, p.recorder.fault(history.OneServer, history.All), d, done(one.Kill), one.Start)
	case 3, 4, 5:
		return p.fault(ctx, p.recorder.fault(history.OneServer, history.All), d, done(one.Freeze), done(one.Thaw))
	case 6, 7:
		return p.fault(ctx, p.recorder.fault(history.OneServer, history.All), d, func() error {
			one.Kill()
			return one.Erase()
		}, one.Start)
	case 8:
		return p.fault(ctx, p.recorder.fault(history.NoMajority, history.All), 2*d, both((*natsserver.Server).Freeze), both((*natsserver.Server).Thaw))
	case 9, 10:
		return p.fault(ctx, p.recorder.fault(history.StandsStill, history.All), standstill+p.upTo(cutOff-standstill-time.Second),
			both((*natsserver.Server).Freeze), both((*natsserver.Server).Thaw))
	}
	return p.fault(ctx, p.recorder.fault(history.LogLost, history.All), 0,
		func() error { return s.removeLog(ctx) }, done(func() {}))
}

// done returns a step of a fault that cannot fail.
func done(do func()) func() error {
	return func() error {
		do()
		return nil
	}
}

// removeLog removes the log, as an operator may by mistake.
func (s *servers) removeLog(ctx context.Context) error {
	conn, err := nats.Connect(s.all[0].URL() + "," + s.all[1].URL())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, 5*time.Second)
		err := js.DeleteStream(try, logName)
		end()
		if err == nil || ctx.Err() != nil {
			return err
		}
		testfleet.Sleep(ctx, restartPause)
	}
}
