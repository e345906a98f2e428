//go:build linux

package e2e

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a network between scouts and a master, which a test mistreats.
type proxy struct {
	address string

	mu    sync.Mutex
	to    string // where the master is
	rate  int    // bytes a second in each direction of a connection; 0: any
	keeps bool   // a scout's connection outlives the master's
	shut  bool   // nobody gets through
	conns map[net.Conn]bool
}

// newProxy starts a proxy for a master, until the test ends.
func newProxy(t *testing.T, m *master) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{address: l.Addr().String(), to: m.grpc, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

// set changes how the network is, from now on.
func (p *proxy) set(change func(*proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// cut ends all connections, and lets nobody through until mended.
func (p *proxy) cut() {
	p.set(func(p *proxy) {
		p.shut = true
		for conn := range p.conns {
			conn.Close()
		}
	})
}

func (p *proxy) mend() { p.set(func(p *proxy) { p.shut = false }) }

// serve joins a scout's connection with one to the master.
func (p *proxy) serve(scout net.Conn) {
	defer scout.Close()
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	master, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer master.Close()
	if !p.keep(scout, master) {
		return
	}
	defer p.set(func(p *proxy) { delete(p.conns, scout); delete(p.conns, master) })
	go func() {
		p.copy(scout, master)
		if !p.isKeeping() {
			scout.Close()
		}
	}()
	p.copy(master, scout)
}

// keep notes the connections, unless the network is cut.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = !p.shut
	}
	return !p.shut
}

func (p *proxy) isKeeping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keeps
}

// copy hands on what comes, at the rate that there is, for as long as it comes,
// and as anybody takes it unless connections are kept.
func (p *proxy) copy(to, from net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		rate := p.rate
		p.mu.Unlock()
		if rate > 0 {
			time.Sleep(time.Second * time.Duration(n) / time.Duration(rate))
		}
		if _, err := to.Write(buf[:n]); err != nil && !p.isKeeping() {
			return
		}
	}
}
