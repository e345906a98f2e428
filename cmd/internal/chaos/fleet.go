//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
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

// injectMasters causes faults of random masters, one at a time, until ctx is done.
func (p *injector) injectMasters(ctx context.Context, masters []*master, s *servers, calm time.Duration) error {
	for testfleet.Sleep(ctx, p.upTo(calm)) {
		n := p.IntN(len(masters))
		m := masters[n]
		strikes := []func(context.Context, time.Duration) error{
			p.endMaster(m, history.OneMaster, (*program).kill),
			p.endMaster(m, history.OneMaster, (*program).stop),
			p.pauseMaster(m, history.OneMaster),
			p.partition(s.links[n], testfleet.Condition{Cut: true}),
			p.partition(s.links[n], testfleet.Condition{Silent: true, Deaf: true}),
			p.partition(s.links[n], testfleet.Condition{Deaf: true}),
		}
		if err := strikes[p.IntN(len(strikes))](ctx, p.length()); err != nil {
			return fmt.Errorf("master %d: %w", n, err)
		}
	}
	return nil
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
		if err := p.injectServer(ctx, s, n, p.length()); err != nil {
			return fmt.Errorf("NATS server %d: %w", n, err)
		}
	}
	return nil
}

func (p *injector) injectServer(ctx context.Context, s *servers, n int, d time.Duration) error {
	one, other := s.all[n], s.all[(n+1)%len(s.all)]
	switch p.IntN(10) {
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
		return p.fault(ctx, p.recorder.fault(history.NoMajority, history.All), 2*d,
			done(func() { one.Freeze(); other.Freeze() }), done(func() { one.Thaw(); other.Thaw() }))
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
