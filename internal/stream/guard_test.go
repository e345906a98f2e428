package stream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
)

// doorman is a Authorizer that does as it is told.
type doorman struct {
	mu                  sync.Mutex
	identify, authorize error
	asked               []files.Origin
}

func (d *doorman) tell(identify, authorize error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.identify, d.authorize = identify, authorize
}

func (d *doorman) Identify(context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "token:web", d.identify
}

func (d *doorman) Authorize(_ context.Context, o files.Origin) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, o)
	return d.authorize
}

func TestGuard(t *testing.T) {
	unknown := status.Error(codes.Unauthenticated, "the token is not known")
	denied := status.Error(codes.PermissionDenied, "token:web may not\nshow that")
	for name, tc := range map[string]struct {
		identify, authorize error
		code                codes.Code
		text                string
	}{
		"a stranger":              {unknown, nil, codes.Unauthenticated, "the token is not known"},
		"somebody else":           {nil, denied, codes.PermissionDenied, "token:web may not show that"},
		"an error without status": {nil, errors.New("closed today"), codes.PermissionDenied, "closed today"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				guard := &doorman{}
				m := startMaster(t, n, func(c *Config) { c.Authorizer = guard })
				guard.tell(tc.identify, tc.authorize)
				r := openRaw(t, n)
				if tc.identify == nil {
					r.say(sayHello(web01))
				}
				if err := r.end(); status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("ended with %v", err)
				}
				synctest.Wait()
				if reason := m.logs.field(t, "registration refused", "reason").(string); !strings.Contains(reason, tc.text) {
					t.Errorf("logged as %q", reason)
				}
				if m.registry.joined() != 0 {
					t.Error("it is registered")
				}
				m.none(t)
			})
		})
	}
}

// What a scout may show is asked for by what it says, its identity is known to
// the registry, and what it may no longer do ends its session.
func TestPermissionWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		guard := &doorman{}
		m := startMaster(t, n, func(c *Config) { c.Authorizer = guard })
		c := startScout(t, n, newSource("a"))
		synctest.Wait()
		if guard.asked[0] != web01 || m.registry.last().peer.Identity != "token:web" {
			t.Errorf("asked of %+v, registered as %+v", guard.asked, m.registry.last().peer)
		}
		withdrawn := m.registry.last()
		guard.tell(nil, status.Error(codes.PermissionDenied, "not any more"))
		if got := withdrawn.lastWord(); got != "leave permission withdrawn" {
			t.Errorf("the member was told to %q", got)
		}
		synctest.Wait()
		if m.logs.count("permission withdrawn") != 1 || !strings.Contains(c.logs.field(t, "master lost", "reason").(string), "not any more") {
			t.Error("nobody was told why")
		}
		guard.tell(nil, nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if m.registry.last() == withdrawn {
			t.Error("it does not come back")
		}
	})
}
