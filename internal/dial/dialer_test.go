package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what a name server says of a name, and after how long.
type answer struct {
	after time.Duration
	addrs []string
	err   error
}

// server answers one lookup of a name after the other.
type server map[string][]answer

// serving guards the answers of all servers.
var serving sync.Mutex

func (s server) next(host string) answer {
	serving.Lock()
	defer serving.Unlock()
	if len(s[host]) == 0 {
		return answer{err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	a := s[host][0]
	s[host] = s[host][1:]
	return a
}

func (s server) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	a := s.next(host)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(a.after):
	}
	var addrs []netip.Addr
	for _, addr := range a.addrs {
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	return addrs, a.err
}

func newDialer(t *testing.T, s server, masters ...string) *Dialer {
	d := &Dialer{Masters: masters, Lookup: s.lookup}
	t.Cleanup(d.Close)
	return d
}

func addresses(targets []Target) []string {
	var all []string
	for _, t := range targets {
		all = append(all, t.Address)
	}
	return all
}

// try returns what Targets does within a time.
func try(d *Dialer, within time.Duration) (addrs []string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	began := time.Now()
	targets, err := d.Targets(ctx)
	return addresses(targets), time.Since(began), err
}

// A lookup that takes longer than anybody waits is not begun anew: the next call
// takes its result.
func TestLookupGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, server{"list": {{5 * time.Second, []string{"10.0.0.1"}, nil}}}, "list:3000")
		_, took, err := try(d, 4*time.Second)
		var name *NameError
		if !errors.As(err, &name) || name.Host != "list" || name.Waited != 4*time.Second || took != 4*time.Second {
			t.Errorf("first: %v after %v", err, took)
		}
		if addrs, took, err := try(d, 4*time.Second); err != nil || took != time.Second || !slices.Equal(addrs, []string{"10.0.0.1:3000"}) {
			t.Errorf("second: %v, %v after %v", addrs, err, took)
		}
	})
}

// What a lookup has found while nobody waited is not lost.
func TestLookupEndsUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, server{"list": {{5 * time.Second, []string{"10.0.0.1"}, nil}}}, "list:3000")
		_, _, _ = try(d, 4*time.Second)
		time.Sleep(10 * time.Second)
		if addrs, took, err := try(d, time.Second); err != nil || took != 0 || len(addrs) != 1 {
			t.Errorf("%v, %v after %v", addrs, err, took)
		}
	})
}

// When name servers fail, the last known addresses serve.
func TestLastKnownAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, server{"list": {
			{0, []string{"10.0.0.1"}, nil},
			{0, nil, errors.New("refused")},
			{time.Hour, nil, nil},
		}}, "list:3000")
		for i, want := range []time.Duration{0, 0, gracePeriod, gracePeriod} {
			if addrs, took, err := try(d, time.Minute); err != nil || took != want || !slices.Equal(addrs, []string{"10.0.0.1:3000"}) {
				t.Errorf("call %d: %v, %v after %v", i, addrs, err, took)
			}
		}
	})
}

// A name moves, and is followed.
func TestAddressesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, server{"list": {{0, []string{"10.0.0.1"}, nil}, {0, []string{"10.0.0.2"}, nil}}}, "list:3000")
		for _, want := range []string{"10.0.0.1:3000", "10.0.0.2:3000"} {
			if addrs, _, err := try(d, time.Minute); err != nil || !slices.Equal(addrs, []string{want}) {
				t.Errorf("%v, %v", addrs, err)
			}
		}
	})
}

func TestNameErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, a := range map[string]answer{
			"the name list has no address: no such host":                         {0, nil, &net.DNSError{Err: "no such host", Name: "list"}},
			"no name server answers what the address of list is":                 {0, nil, &net.DNSError{Err: "i/o timeout", Name: "list", IsTimeout: true}},
			"no name server has answered what the address of list is, within 1s": {time.Minute, nil, nil},
			"the name list has no address: no such host ":                        {0, nil, nil},
			"the name list has no address: /etc/resolv.conf: permission denied":  {0, nil, errors.New("/etc/resolv.conf: permission denied")},
		} {
			_, _, err := try(newDialer(t, server{"list": {a}}, "list:3000"), time.Second)
			if err == nil || err.Error() != strings.TrimSpace(want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// Names that are resolved do not wait for one that is not, and those that fail
// do not matter.
func TestSeveralMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, server{
			"slow": {{time.Minute, nil, nil}},
			"list": {{2 * time.Second, []string{"10.0.0.1", "10.0.0.2"}, nil}},
		}, "slow:3000", "nowhere:3000", "list:3000", "10.0.0.9:4000")
		addrs, took, err := try(d, time.Minute)
		if slices.Sort(addrs); err != nil || took != gracePeriod || !slices.Equal(addrs, []string{"10.0.0.9:4000"}) {
			t.Errorf("%v, %v after %v", addrs, err, took)
		}
		time.Sleep(2 * time.Second)
		addrs, _, err = try(d, time.Minute)
		if slices.Sort(addrs); err != nil || !slices.Equal(addrs, []string{"10.0.0.1:3000", "10.0.0.2:3000", "10.0.0.9:4000"}) {
			t.Errorf("then %v, %v", addrs, err)
		}
	})
}

// Scouts spread over the addresses, each always in the same way, and those of the
// family that the system prefers come first.
func TestOrder(t *testing.T) {
	first := make(map[string]int)
	for i := range 3000 {
		spread := fmt.Sprint("host-", i)
		order := func(masters ...string) []string {
			d := &Dialer{Masters: masters, Spread: spread, Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::2")}, nil
			}}
			defer d.Close()
			targets, err := d.Targets(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return addresses(targets)
		}
		addrs := order("list:1", "10.0.0.9:2", "10.0.0.8:3")
		first[addrs[0]]++
		if addrs[4] != "10.0.0.1:1" {
			t.Fatalf("the other family comes as %v", addrs)
		}
		if again := order("10.0.0.8:3", "list:1", "10.0.0.9:2"); !slices.Equal(addrs, again) {
			t.Fatalf("%v, then %v", addrs, again)
		}
	}
	for addr, n := range first {
		if n < 600 || n > 900 {
			t.Errorf("%d of 3000 begin with %s", n, addr)
		}
	}
	if len(first) != 4 {
		t.Errorf("they begin with %v", first)
	}
}

// No proxy is used for this machine, whatever its name looks like.
func TestNoProxyForLoopback(t *testing.T) {
	d := newDialer(t, server{"LocalHost": {{0, []string{"127.0.0.1"}, nil}}, "localhost.": {{0, []string{"::1"}, nil}}},
		"LocalHost:1", "localhost.:1", "127.0.0.2:1", "[::1]:1")
	d.Proxy = func(address string) (*url.URL, error) {
		t.Errorf("a proxy is asked for %s", address)
		return nil, nil
	}
	targets, err := d.Targets(t.Context())
	if err != nil || len(targets) != 4 {
		t.Errorf("%v, %v", targets, err)
	}
}
