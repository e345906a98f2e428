package dial

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"scout/internal/hostport"
)

// Dialer knows the scoutmasters that a scout may connect to. Close must be
// called in the end.
type Dialer struct {
	// Masters are the addresses, as hostport.ParseDial returns them. A name may
	// stand for several.
	Masters []string
	// Spread is what the order of the addresses depends on, so that scouts with
	// different ones spread over them.
	Spread string

	// What reaches the network; nil: the real one.
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	Proxy   func(address string) (*url.URL, error) // of a host:port beyond this machine; nil: none

	mu      sync.Mutex
	names   map[string]*name
	lookups sync.WaitGroup
	closed  context.Context
	close   context.CancelFunc
}

// Target is one address that a scoutmaster may have.
type Target struct {
	Master  string // as in Dialer.Masters
	Address string // host:port, resolved unless a proxy does that

	dialer *Dialer
	proxy  *url.URL // nil: none
}

// String is the target for people: its name and, if there is one, its proxy.
func (t Target) String() string {
	if t.proxy == nil {
		return t.Master
	}
	return t.Master + " through the proxy " + t.proxy.Redacted()
}

// gracePeriod is how long names may take to be resolved that need not be waited
// for: others are, or they were before.
const gracePeriod = time.Second

// Targets returns the addresses to try, in this order, as far as their names are
// resolved. It waits for the first until ctx is done, and goes on with lookups
// that earlier calls have begun. The error is that there is none, and a
// *NameError where that is because of a name.
func (d *Dialer) Targets(ctx context.Context) ([]Target, error) {
	type result struct {
		targets []Target
		err     error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan result, len(d.Masters))
	for _, master := range d.Masters {
		go func() {
			targets, err := d.targets(ctx, master)
			results <- result{targets, err}
		}()
	}
	var all []Target
	var failed error
	for range d.Masters {
		r := <-results
		if r.err != nil && failed == nil {
			failed = r.err
		}
		if all == nil && r.targets != nil {
			grace := time.AfterFunc(gracePeriod, stop)
			defer grace.Stop() //nolint:gocritic // once, for the first result
		}
		all = append(all, r.targets...)
	}
	if len(all) == 0 {
		return nil, failed
	}
	d.order(all)
	return all, nil
}

// targets are the addresses of one scoutmaster.
func (d *Dialer) targets(ctx context.Context, master string) ([]Target, error) {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return nil, err
	}
	proxy, err := d.proxy(master)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		return []Target{{master, master, d, proxy}}, nil
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	targets := make([]Target, len(addrs))
	for i, addr := range addrs {
		targets[i] = Target{master, net.JoinHostPort(addr.String(), port), d, nil}
	}
	return targets, nil
}

// proxy returns the proxy for the address, or nil. No proxy is ever used for this
// machine: it would be told the token.
func (d *Dialer) proxy(address string) (*url.URL, error) {
	if hostport.IsLoopback(address) {
		return nil, nil
	}
	if d.Proxy != nil {
		return d.Proxy(address)
	}
	return http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
}

// order sorts the targets by Spread. Addresses of the family that the system
// prefers for their name come first: the other one may lead nowhere.
func (d *Dialer) order(targets []Target) {
	preferred := make(map[string]bool) // of the first address of each master: is it IPv6?
	for _, t := range targets {
		if _, known := preferred[t.Master]; !known {
			preferred[t.Master] = t.is6()
		}
	}
	rank := func(t Target) (int, uint64) {
		weight := xxhash.Sum64String(d.Spread + "\x00" + t.Master + "\x00" + t.Address)
		if t.is6() != preferred[t.Master] {
			return 1, weight
		}
		return 0, weight
	}
	slices.SortStableFunc(targets, func(a, b Target) int {
		aRank, aWeight := rank(a)
		bRank, bWeight := rank(b)
		return cmp.Or(cmp.Compare(aRank, bRank), cmp.Compare(aWeight, bWeight))
	})
}

func (t Target) is6() bool {
	addr, err := netip.ParseAddrPort(t.Address)
	return err == nil && addr.Addr().Is6()
}

// NameError says that a name has no address that is known.
type NameError struct {
	Host   string
	Err    error         // nil: no answer yet
	Waited time.Duration // for an answer
}

func (e *NameError) Error() string {
	if e.Err == nil {
		return "no name server has answered what the address of " + e.Host + " is, within " + e.Waited.String()
	}
	var dns *net.DNSError
	if errors.As(e.Err, &dns) && dns.IsTimeout {
		return "no name server answers what the address of " + e.Host + " is"
	}
	if errors.As(e.Err, &dns) {
		return "the name " + e.Host + " has no address: " + dns.Err
	}
	return "the name " + e.Host + " has no address: " + e.Err.Error()
}

func (e *NameError) Unwrap() error { return e.Err }

// lookupBound is how long one lookup may take. The system tries each name server
// for 5 s, twice.
const lookupBound = 30 * time.Second

// name is what is known of a name.
type name struct {
	last    []netip.Addr // of the last lookup that found any
	pending *lookup      // under way, or done and not used yet; nil: none
}

type lookup struct {
	done  chan struct{} // closed behind:
	addrs []netip.Addr
	err   error
}

// resolve returns the addresses of a host. A lookup goes on when ctx is done, and
// the next call takes its result. When a lookup fails, or takes longer than the
// grace period, the last known addresses serve.
func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	began := time.Now()
	l, last := d.lookup(host)
	if last != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, gracePeriod)
		defer stop()
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		if last != nil {
			return last, nil
		}
		return nil, &NameError{Host: host, Waited: time.Since(began).Round(time.Millisecond)}
	}
	d.used(host, l)
	switch {
	case l.err == nil:
		return l.addrs, nil
	case last != nil:
		return last, nil
	}
	return nil, &NameError{Host: host, Err: l.err}
}

// lookup returns the lookup of a host that is under way or not used yet, which it
// begins if there is none, and the addresses that are known already.
func (d *Dialer) lookup(host string) (*lookup, []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = make(map[string]*name)
		d.closed, d.close = context.WithCancel(context.Background())
	}
	n := d.names[host]
	if n == nil {
		n = &name{}
		d.names[host] = n
	}
	if n.pending == nil {
		n.pending = &lookup{done: make(chan struct{})}
		l := n.pending
		d.lookups.Go(func() { d.find(host, l) })
	}
	return n.pending, n.last
}

func (d *Dialer) find(host string, l *lookup) {
	defer close(l.done)
	ctx, stop := context.WithTimeout(d.closed, lookupBound)
	defer stop()
	find := d.Lookup
	if find == nil {
		find = lookupIP
	}
	l.addrs, l.err = find(ctx, host)
	if l.err == nil && len(l.addrs) == 0 {
		l.err = errors.New("no such host")
	}
}

func lookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, err
}

// used notes the result of a lookup that is done.
func (d *Dialer) used(host string, l *lookup) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[host]
	if n.pending == l {
		n.pending = nil
	}
	if l.err == nil {
		n.last = l.addrs
	}
}

// Close ends the lookups that are under way.
func (d *Dialer) Close() {
	d.mu.Lock()
	stop := d.close
	d.mu.Unlock()
	if stop != nil {
		stop()
	}
	d.lookups.Wait()
}
