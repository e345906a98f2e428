package stream

import (
	"sync"
	"sync/atomic"

	"scout/internal/wake"
)

// rescanRequests are the Looks of one session, at the master's end. Any
// goroutine may ask; the sender issues Looks, and the handler takes the answers.
// At most one Look is unanswered: requests that come meanwhile share the next.
type rescanRequests struct {
	wanted wake.Signal // there may be a Look to send

	mu         sync.Mutex
	issued     uint64          // the last ticket
	unanswered bool            // it waits for its Looked
	asked      []chan struct{} // closed by that Looked, or the next one that counts
	next       chan struct{}   // for requests since the last Look; nil when there is none
}

func newRescanRequests() *rescanRequests { return &rescanRequests{wanted: wake.NewSignal()} }

// ask returns a channel that is closed when the scout has answered a Look that
// was sent after the call.
func (r *rescanRequests) ask() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
		r.wanted.Set()
	}
	return r.next
}

// issue returns the ticket of a Look that is to be sent now, or 0 for none.
func (r *rescanRequests) issue() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil && !r.unanswered {
		r.asked, r.next = append(r.asked, r.next), nil
	}
	if len(r.asked) == 0 || r.unanswered {
		return 0
	}
	r.issued, r.unanswered = r.issued+1, true
	return r.issued
}

// answer takes a Looked. One that does not count, because of what has happened
// since the Look was sent, is asked for again.
func (r *rescanRequests) answer(ticket uint64, counts bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ticket == 0 || ticket > r.issued {
		return violation("Looked with ticket %d, which was never issued", ticket)
	}
	if ticket < r.issued || !r.unanswered {
		return nil
	}
	if r.unanswered = false; counts {
		for _, c := range r.asked {
			close(c)
		}
		r.asked = nil
	}
	r.wanted.Set()
	return nil
}

// rescan is the Look that a scout is about to answer, at the scout's end.
type rescan struct {
	// The ticket of the newest Look. The receiver sets it, and then wanted.
	newest atomic.Uint64
	wanted wake.Signal

	// The sender's alone.
	ticket uint64          // to be answered next; 0: none
	done   <-chan struct{} // closed when the Directory was rescanned; nil when that is known
}

func newRescan() rescan { return rescan{wanted: wake.NewSignal()} }

// ask notes a Look. Of several that wait only the newest is answered.
func (r *rescan) ask(ticket uint64) {
	r.newest.Store(ticket)
	r.wanted.Set()
}

// next receives when there is a Look to begin with: one after the other, or else
// the Directory would be asked again before it can answer.
func (r *rescan) next() <-chan struct{} {
	if r.ticket != 0 {
		return nil
	}
	return r.wanted
}

// begin asks the Directory.
func (r *rescan) begin(d Directory) { r.ticket, r.done = r.newest.Load(), d.Rescan() }

// ready reports whether the Directory was rescanned, so that a View taken from
// now on answers the ticket.
func (r *rescan) ready() bool {
	select {
	case <-r.done:
		r.done = nil
	default:
	}
	return r.ticket != 0 && r.done == nil
}

// finish returns the ticket for the Looked, and allows the next Look.
func (r *rescan) finish() uint64 {
	ticket := r.ticket
	r.ticket = 0
	return ticket
}
