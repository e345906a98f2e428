package watch

import "sync"

// requests are the looks everywhere that somebody waits for. Anybody may ask;
// the Watcher's loop answers.
type requests struct {
	asked chan struct{} // of one: somebody waits

	mu    sync.Mutex
	next  chan struct{}   // closed once a look that begins later is done; nil: nobody waits for it
	begun []chan struct{} // closed once a look that has begun, or the one after it, is done
}

func newRequests() *requests { return &requests{asked: make(chan struct{}, 1)} }

// ask returns a channel that is closed once a look everywhere that begins after
// the call is done.
func (r *requests) ask() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
	}
	r.wake()
	return r.next
}

// wake has the loop look for who waits.
func (r *requests) wake() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// begin is called when a look begins: it answers all who wait, if it can be
// finished. It reports whether there are any.
func (r *requests) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		r.begun = append(r.begun, r.next)
		r.next = nil
	}
	return len(r.begun) > 0
}

// done answers those for whom a look has begun: it is finished, and its result
// is in the View.
func (r *requests) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.begun {
		close(c)
	}
	r.begun = nil
}

// waiting reports whether somebody waits.
func (r *requests) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next != nil || len(r.begun) > 0
}
