package stream

import (
	"sync"
	"sync/atomic"

	"scout/internal/wake"
)

// rescanRequests has the rescan requests of one session, at the master's end. Any
// goroutine may ask. The sender issues Looks, and the handler passes the answers. At
// most one Look is unanswered; requests that arrive meanwhile share the next one.
type rescanRequests struct {
	wanted wake.Signal // a Look may be due

	mu         sync.Mutex
	issued     uint64          // the last ticket
	unanswered bool            // the last Look waits for its Looked
	asked      []chan struct{} // closed by that Looked, or by the next one that counts
	next       chan struct{}   // for requests since the last Look; nil: none
}

func newRescanRequests() *rescanRequests { return &rescanRequests{wanted: wake.NewSignal()} }

// ask returns a channel that is closed when the scout has answered a Look that is sent
// after the call.
func (r *rescanRequests) ask() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
		r.wanted.Set()
	}
	return r.next
}

// issue returns the ticket of a Look to send now, or 0.
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

// answer handles a Looked. If it does not count, because the copy differs, another Look
// is due.
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

// rescan is the Look that a scout has to answer, at the scout's end.
type rescan struct {
	// The ticket of the newest Look. The receiver sets it before wanted.
	newest atomic.Uint64
	wanted wake.Signal

	// Only the sender uses these.
	ticket uint64          // of the Look in progress; 0: none
	done   <-chan struct{} // closed when the Directory was rescanned; nil once that is known
}

func newRescan() rescan { return rescan{wanted: wake.NewSignal()} }

// ask records a Look. Only the newest of several waiting Looks is answered.
func (r *rescan) ask(ticket uint64) {
	r.newest.Store(ticket)
	r.wanted.Set()
}

// next returns a channel that receives when a Look may begin: after the previous one,
// because otherwise the Directory would be asked again before it has answered.
func (r *rescan) next() <-chan struct{} {
	if r.ticket != 0 {
		return nil
	}
	return r.wanted
}

// begin starts a rescan of the Directory.
func (r *rescan) begin(d Directory) { r.ticket, r.done = r.newest.Load(), d.Rescan() }

// ready reports whether the Directory was rescanned. A View that is read after that
// answers the ticket.
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
