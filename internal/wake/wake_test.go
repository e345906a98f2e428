package wake_test

import (
	"testing"

	"scout/internal/wake"
)

func TestSignalCoalesces(t *testing.T) {
	s := wake.NewSignal()
	if received(s) {
		t.Error("a new signal is set")
	}
	s.Set()
	s.Set()
	if !received(s) {
		t.Error("a signal that was set twice is not set")
	}
	if received(s) {
		t.Error("two calls of Set were received twice")
	}
}

func TestBroadcastWakesAllWhoWait(t *testing.T) {
	var b wake.Broadcast
	b.Wake() // nobody waits
	first, second := b.Wait(), b.Wait()
	if received(first) || received(second) {
		t.Error("woken before Wake")
	}
	b.Wake()
	if !received(first) || !received(second) {
		t.Error("a waiter was not woken")
	}
	if later := b.Wait(); received(later) {
		t.Error("a wait that began after Wake was woken by it")
	}
}

func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
