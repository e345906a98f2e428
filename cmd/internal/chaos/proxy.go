//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// chunk is how much passes a proxy at once: little enough for a rate to be
// smooth.
const chunk = 4 << 10

// proxy is a link within this process. What it does not let pass is not lost
// but waits, in its buffers and then in those of both ends, as it does when a
// network loses packets and TCP tries again.
//
// There are proxies for tests to be had. This one is here because they close a
// connection after a silence, drop what came during it, or cannot be silent in
// one direction alone.
type proxy struct {
	net.Listener

	master string

	mu        sync.Mutex
	condition condition
	changed   chan struct{} // closed at the next change
	conns     map[net.Conn]bool
	pumps     sync.WaitGroup
}

func newProxy(master string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{Listener: l, master: master, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.pumps.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.Addr().String() }
func (p *proxy) enter() []string { return nil }
func (p *proxy) cuts() bool      { return true }

func (p *proxy) set(c condition) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition = c
	close(p.changed)
	p.changed = make(chan struct{})
	if c.cut {
		p.cut()
	}
	return nil
}

func (p *proxy) cut() {
	for c := range p.conns {
		c.Close() //nolint:errcheck // it is cut either way
	}
}

func (p *proxy) close() {
	p.Close()                   //nolint:errcheck // nobody uses it any more
	p.set(condition{cut: true}) //nolint:errcheck // a proxy never fails to
	p.pumps.Wait()
}

func (p *proxy) accept() {
	for {
		down, err := p.Accept()
		if err != nil {
			return
		}
		up, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.master)
		if err != nil {
			down.Close() //nolint:errcheck // as the master would refuse it
			continue
		}
		p.pumps.Go(func() { p.carry(down, up) })
	}
}

// carry carries what two connections say to each other until both have ended.
func (p *proxy) carry(down, up net.Conn) {
	defer p.forget(down, up)
	if !p.keep(down, up) {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() { p.pump(down, up, func(c condition) bool { return c.deaf }) })
	p.pump(up, down, func(c condition) bool { return c.silent })
}

// keep counts connections in, unless they are cut.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.condition.cut
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close() //nolint:errcheck // both have ended
		delete(p.conns, c)
	}
}

// pump carries what comes from src to dst, and in the end its end.
func (p *proxy) pump(dst, src net.Conn, held func(condition) bool) {
	buf := make([]byte, chunk)
	for {
		n, err := src.Read(buf)
		c := p.pass(held)
		if c.cut {
			return
		}
		time.Sleep(c.delay + spread(n, c.rate))
		if _, werr := dst.Write(buf[:n]); werr != nil {
			err = werr
		}
		if err != nil {
			finish(dst, src, err)
			return
		}
	}
}

// pass waits until something may pass.
func (p *proxy) pass(held func(condition) bool) condition {
	for {
		p.mu.Lock()
		c, changed := p.condition, p.changed
		p.mu.Unlock()
		if c.cut || !held(c) {
			return c
		}
		<-changed
	}
}

// spread is how long n bytes take at a rate.
func spread(n, rate int) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(n) * time.Second / time.Duration(rate)
}

// finish passes on that src has ended. When it broke, both ends do.
func finish(dst, src net.Conn, err error) {
	if tcp, ok := dst.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
		tcp.CloseWrite() //nolint:errcheck // it may be closed already
		return
	}
	dst.Close() //nolint:errcheck // it may be closed already
	src.Close() //nolint:errcheck // likewise
}
