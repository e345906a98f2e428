package master

import "slices"

// lateMost is how many events are remembered of a kind.
const lateMost = 128

// lately remembers the last events of a kind, bounded. One that comes again and
// again does not push the others out: events with the same key are one.
type lately[K comparable, E any] struct{ events []late[K, E] } // oldest first

type late[K comparable, E any] struct {
	key   K
	event E
	times int
}

func (l *lately[K, E]) note(key K, event E) {
	times := 1
	same := func(e late[K, E]) bool { return e.key == key }
	if i := slices.IndexFunc(l.events, same); i >= 0 {
		times += l.events[i].times
		l.events = slices.Delete(l.events, i, i+1)
	} else if len(l.events) == lateMost {
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, late[K, E]{key, event, times})
}

// all returns what finish makes of each event, newest first.
func (l *lately[K, E]) all(finish func(event *E, times int)) []E {
	all := make([]E, 0, len(l.events))
	for _, e := range slices.Backward(l.events) {
		finish(&e.event, e.times)
		all = append(all, e.event)
	}
	return all
}
