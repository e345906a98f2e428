package stream

import (
	"sync"
	"sync/atomic"
)

// looks are the Looks of one session, at the master's end. Any goroutine may
// ask; send issues, and the handler takes the answers. At most one is on its
// way: those who ask meanwhile share the next, however many they are.
type looks struct {
	wanted chan struct{} // of one: there may be a Look to send

	mu     sync.Mutex
	issued uint64          // the last ticket
	out    bool            // it is not answered
	asked  []chan struct{} // closed when it is, or the one after it
	next   chan struct{}   // closed when the ticket after it is answered; nil when nobody waits
}

func newLooks() *looks { return &looks{wanted: make(chan struct{}, 1)} }

// ask returns a channel that is closed when the scout has answered a Look that
// was sent after the call.
func (l *looks) ask() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = make(chan struct{})
		l.wake()
	}
	return l.next
}

// issue returns the ticket of a Look that is to be sent now, or 0 for none.
func (l *looks) issue() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil && !l.out {
		l.asked, l.next = append(l.asked, l.next), nil
	}
	if len(l.asked) == 0 || l.out {
		return 0
	}
	l.issued, l.out = l.issued+1, true
	return l.issued
}

// answer takes the scout's word for a ticket. One that does not count, because
// of what has happened since it was sent, is asked for again.
func (l *looks) answer(ticket uint64, counts bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ticket == 0 || ticket > l.issued {
		return violation("Looked with ticket %d, which was never issued", ticket)
	}
	if ticket < l.issued || !l.out {
		return nil
	}
	if l.out = false; counts {
		for _, c := range l.asked {
			close(c)
		}
		l.asked = nil
	}
	l.wake()
	return nil
}

func (l *looks) wake() {
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// lookout is what the master has asked a scout to look for, at the scout's end.
type lookout struct {
	// Of the newest Look; receive's to set, by way of a channel of one.
	newest atomic.Uint64
	asked  chan struct{}

	// run's alone.
	ticket uint64          // that is to be answered next; 0: none
	done   <-chan struct{} // closed when the Directory has looked; nil when it has
}

func newLookout() lookout { return lookout{asked: make(chan struct{}, 1)} }

// ask notes a Look. Only the newest of those that wait is answered.
func (l *lookout) ask(ticket uint64) {
	l.newest.Store(ticket)
	select {
	case l.asked <- struct{}{}:
	default:
	}
}

// waiting receives when there is a Look to begin with: one after the other, or
// else the Directory would be asked again before it can answer.
func (l *lookout) waiting() <-chan struct{} {
	if l.ticket != 0 {
		return nil
	}
	return l.asked
}

// begin asks the Directory.
func (l *lookout) begin(s Directory) { l.ticket, l.done = l.newest.Load(), s.Rescan() }

// ready reports whether the Directory has looked, so that a View taken from now
// on answers the ticket.
func (l *lookout) ready() bool {
	select {
	case <-l.done:
		l.done = nil
	default:
	}
	return l.ticket != 0 && l.done == nil
}

// answered returns the ticket, for the Looked, and makes room for the next.
func (l *lookout) answered() uint64 {
	ticket := l.ticket
	l.ticket = 0
	return ticket
}
