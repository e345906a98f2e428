//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var fleetRows = []row{
	{
		name: "scoutmaster of idle scouts", reference: "bare gRPC streams doing the same", at: point{10_000, 10_000}, small: point{100, 100},
		growth: []growth{{overScouts, []point{{10, 10}, {100, 100}, {1000, 1000}, {10_000, 10_000}}}}, run: idleFleet,
		how: "Each scout has one file, and scout and scoutmaster beat once a second. The reference is a gRPC server, too in a process of its own, " +
			"with a connection and a stream for each client on which both send such a message a second.",
	},
	{
		name: "scouts of 10,000 files, scoutmaster restarts → all listed", at: point{10_000_000, 1000}, small: point{10_000, 10},
		growth: []growth{{overScouts, []point{{100_000, 10}, {1_000_000, 100}, {10_000_000, 1000}}}}, run: restart,
		how: "The scoutmaster is killed and started again at once. From its start to its list having the files of all scouts, " +
			"whose names interleave at random. Steady is the memory when all is merged, some time later.",
	},
}

// load of a server: what an idle fleet costs it.
type serverLoad struct {
	cpu    float64 // of one core
	memory float64 // bytes
}

func idleFleet(ctx context.Context, l *lab, p point) (res result, err error) {
	l.dropStage() // what it does would count
	ours, err := l.idleScouts(ctx, p)
	if err != nil {
		return res, err
	}
	theirs, err := l.idleStreams(ctx, p.scouts)
	if err != nil {
		return res, err
	}
	res.add(
		figure{name: "processor time", unit: ofOneCore, value: ours.cpu, reference: theirs.cpu, bound: atMostTimes(1.3)},
		figure{name: "memory", unit: byteCount, value: ours.memory, reference: theirs.memory, bound: atMostTimes(1.3)},
	)
	return res, nil
}

func (l *lab) idleScouts(ctx context.Context, p point) (serverLoad, error) {
	s, err := l.newStage(ctx, p, interleaved)
	if err != nil {
		return serverLoad{}, err
	}
	defer s.close()
	return l.loadOf(ctx, s.pid)
}

func (l *lab) idleStreams(ctx context.Context, n int) (serverLoad, error) {
	p, err := l.peerProcess(ctx, "streams")
	if err != nil {
		return serverLoad{}, err
	}
	e, err := p.AwaitMsg(time.Minute, "serving")
	if err != nil {
		return serverLoad{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- bareClients(ctx, e.Text("grpc"), n, ready) }()
	defer cancel()
	select {
	case <-ready:
	case err := <-done:
		return serverLoad{}, err
	}
	load, err := l.loadOf(ctx, pid(p.Process.Pid))
	cancel()
	return load, errors.Join(err, <-done)
}

// loadOf watches a server that has come to rest.
func (l *lab) loadOf(ctx context.Context, p pid) (serverLoad, error) {
	pause(ctx, l.lasting(15*time.Second, time.Second))
	used, passed, err := p.cpuOver(ctx, l.lasting(20*time.Second, 3*time.Second))
	if err != nil {
		return serverLoad{}, err
	}
	memory, err := p.resident()
	return serverLoad{used.Seconds() / passed.Seconds(), float64(memory)}, err
}

// restart is how a fleet comes back.
func restart(ctx context.Context, l *lab, p point) (res result, err error) {
	s, err := l.staged(ctx, p, interleaved)
	if err != nil {
		return res, err
	}
	defer l.dropStage()
	took, err := s.restart(ctx, l)
	if err != nil {
		return res, err
	}
	if err := errors.Join(s.pid.calm(ctx, time.Minute), s.complete(ctx)); err != nil {
		return res, err
	}
	pause(ctx, l.lasting(10*time.Second, 0))
	peak, err := s.pid.peak()
	if err != nil {
		return res, err
	}
	steady, err := s.pid.resident()
	res.add(
		figure{name: "time", unit: seconds, value: took.Seconds(), bound: atMost(15)},
		figure{name: "peak memory, against steady", unit: byteCount, value: float64(peak), reference: float64(steady), bound: atMostTimes(2)},
	)
	return res, err
}

// restart kills the master, starts another in its place, and returns how long
// after that the list was complete.
func (s *stage) restart(ctx context.Context, l *lab) (time.Duration, error) {
	s.master.Kill()
	began := time.Now()
	m, err := l.programs.StartMaster("-grpc", s.master.GRPC, "-http", s.master.HTTP)
	if err != nil {
		return 0, err
	}
	context.AfterFunc(ctx, m.Kill)
	s.master, s.pid = m, pid(m.Cmd.Process.Pid)
	at, err := s.listed()
	return at.Sub(began), err
}

// complete makes sure that the list has as many files as there are.
func (s *stage) complete(ctx context.Context) error {
	want := 0
	for _, source := range s.sources {
		want += source.View().Set.Len()
	}
	got, err := countFiles(ctx, s.master.HTTP)
	if err == nil && got != want {
		err = fmt.Errorf("the list has %d files, want %d", got, want)
	}
	return err
}
