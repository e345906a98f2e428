package watch

import "sync"

// fakeNotifier gives no hints of its own accord.
type fakeNotifier struct {
	mu      sync.Mutex
	watched map[string]int          // how often, by path
	refuse  func(path string) error // nil: nothing is refused
}

func (n *fakeNotifier) watch(path string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		if err := n.refuse(path); err != nil {
			return err
		}
	}
	if n.watched == nil {
		n.watched = map[string]int{}
	}
	n.watched[path]++
	return nil
}

func (n *fakeNotifier) renew(string, uint32) error            { return nil }
func (n *fakeNotifier) tidy() []string                        { return nil }
func (n *fakeNotifier) left()                                 {}
func (n *fakeNotifier) generations() (current, newest uint32) { return 1, 1 }
func (n *fakeNotifier) due(int) bool                          { return false }
func (n *fakeNotifier) begin()                                {}
func (n *fakeNotifier) finish()                               {}
func (n *fakeNotifier) close()                                {}

func quietNotifier(*Watcher) notifier { return new(fakeNotifier) }

func realNotifier(w *Watcher) notifier { return newLibrary(w.router, w.claim.Dir()) }
