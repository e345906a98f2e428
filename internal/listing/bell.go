package listing

import "sync"

// bell wakes all who wait for something. The zero bell is ready.
type bell struct {
	mu   sync.Mutex
	rung chan struct{} // closed by the next ring; nil while nobody waits
}

// wait returns a channel that the next ring closes.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// ring wakes those who wait. To wake a thousand takes some 100 µs, for which
// the caller does not wait.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rung := b.rung; rung != nil {
		b.rung = nil
		go close(rung)
	}
}
