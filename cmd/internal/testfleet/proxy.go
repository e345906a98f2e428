package testfleet

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Condition is the state of a network between scouts and a scoutmaster.
type Condition struct {
	Cut    bool // all connections are broken, and new ones too
	Silent bool // nothing gets from the scout to the master
	Deaf   bool // nothing gets from the master to the scout
	Keeps  bool // a scout's connection outlives the master's
	Delay  time.Duration
	Rate   int // bytes a second in each direction of a connection; 0: no limit
}

// chunk is how many bytes pass a proxy at once: few enough for a smooth rate.
const chunk = 4 << 10

// Proxy is a network in this process. What it does not let pass is not lost: it
// waits in the proxy's buffers and then in those of both ends, as it does when a
// network loses packets and TCP sends them again.
//
// The proxies of libraries, such as toxiproxy, cannot do that: they close a
// connection after a silence, or drop what is sent during it.
type Proxy struct {
	Up, Down atomic.Int64 // bytes that have passed, to the master and to the scout

	listener net.Listener
	pumps    sync.WaitGroup

	mu        sync.Mutex
	target    string
	condition Condition
	changed   chan struct{} // closed at the next change
	conns     map[net.Conn]bool
}

// NewProxy starts a proxy for the scoutmaster at an address.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.pumps.Go(p.accept)
	return p, nil
}

// Address is where scouts find the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set puts the network into a condition. When it returns, that is so.
func (p *Proxy) Set(c Condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition = c
	close(p.changed)
	p.changed = make(chan struct{})
	if c.Cut {
		for conn := range p.conns {
			conn.Close() //nolint:errcheck // it is cut either way
		}
	}
}

// SetTarget has new connections lead to another address.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.listener.Close() //nolint:errcheck // it is not used any more
	p.Set(Condition{Cut: true})
	p.pumps.Wait()
}

func (p *Proxy) accept() {
	for {
		scout, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		master, err := net.Dial("tcp", target)
		if err != nil {
			scout.Close() //nolint:errcheck // as the master would refuse it
			continue
		}
		p.pumps.Go(func() { p.carry(scout, master) })
	}
}

// carry joins a scout's connection with one to the master until both have
// ended.
func (p *Proxy) carry(scout, master net.Conn) {
	defer p.forget(scout, master)
	if !p.add(scout, master) {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() { p.pump(scout, master, &p.Down, func(c Condition) bool { return c.Deaf }) })
	p.pump(master, scout, &p.Up, func(c Condition) bool { return c.Silent })
}

// add notes connections and reports whether they may live.
func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.condition.Cut
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close() //nolint:errcheck // both have ended
		delete(p.conns, c)
	}
}

// pump carries what comes from src to dst, and in the end its end.
func (p *Proxy) pump(dst, src net.Conn, passed *atomic.Int64, held func(Condition) bool) {
	buf := make([]byte, chunk)
	for {
		n, err := src.Read(buf)
		c := p.pass(held)
		if c.Cut {
			return
		}
		if pause := c.Delay + spread(n, c.Rate); pause > 0 {
			time.Sleep(pause)
		}
		m, failed := dst.Write(buf[:n])
		passed.Add(int64(m))
		if err == nil && !c.Keeps {
			err = failed
		}
		if err != nil {
			if !c.Keeps {
				finish(dst, src, err)
			}
			return
		}
	}
}

// pass waits until something may pass, and returns the condition then.
func (p *Proxy) pass(held func(Condition) bool) Condition {
	for {
		p.mu.Lock()
		c, changed := p.condition, p.changed
		p.mu.Unlock()
		if c.Cut || !held(c) {
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
