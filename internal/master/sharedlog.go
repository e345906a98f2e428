package master

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"scout/internal/wake"
)

// shared is the log of a scoutmaster that shares its list.
type shared struct {
	sequence Sequence
	state    *State

	goesOn wake.Broadcast // the log has stood still

	// window has an element for each entry of a session that is on its way. NATS
	// discards what comes to it beyond some ten thousand messages.
	window chan struct{}

	mu      sync.Mutex
	waiting map[written]*flight // for what has become of entries of this scoutmaster
	came    time.Time           // when something came through the log last
}

// windowSize is how many entries of sessions may be on their way at once.
const windowSize = 2048

func newShared(sequence Sequence, state *State) *shared {
	return &shared{
		sequence: sequence, state: state,
		waiting: make(map[written]*flight), window: make(chan struct{}, windowSize),
	}
}

// written identifies an entry.
type written struct {
	session SessionID
	serial  uint64
}

// errUnread: not all scoutmasters read the entry.
var errUnread = errors.New("a scoutmaster of an older version does not read entries of this kind")

// flight is an entry on its way through the log.
type flight struct {
	written
	message  []byte
	launched time.Time
	outcome  chan error
}

// launch appends an entry, once few enough others of sessions are on their way. Its
// writer has to land the flight.
func (l *shared) launch(ctx context.Context, e *Entry) (*flight, error) {
	if !l.state.readByAll(formatOf(e.Body)) {
		return nil, errUnread
	}
	message, err := encode(e)
	if err != nil {
		return nil, err
	}
	if e.Session.Number != 0 {
		select {
		case l.window <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f := &flight{written{e.Session, e.Serial}, message, time.Now(), make(chan error, 1)}
	l.mu.Lock()
	l.take(f.written) // two abandon one session
	l.waiting[f.written] = f
	l.mu.Unlock()
	l.sequence.Append(f.message) //nolint:errcheck // it may be in the log all the same
	return f, nil
}

// land ends the wait for what becomes of an entry.
func (l *shared) land(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[f.written] == f {
		l.take(f.written)
	}
}

// take returns the flight of an entry, which is not on its way any more, or nil. The
// caller holds mu.
func (l *shared) take(w written) *flight {
	f := l.waiting[w]
	if f == nil {
		return nil
	}
	delete(l.waiting, w)
	if w.session.Number != 0 {
		<-l.window
	}
	return f
}

// settle tells the writer of an entry what has become of it.
func (l *shared) settle(e *Entry, err error) {
	if errors.Is(err, errEarly) {
		return // it will come again
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.take(written{e.Session, e.Serial}); f != nil {
		f.outcome <- err
	}
}

// note wakes the writers of what may have been lost, when something has come through
// a log that stood still.
func (l *shared) note() {
	l.mu.Lock()
	still := time.Since(l.came) >= stillTime
	l.came = time.Now()
	l.mu.Unlock()
	if still {
		l.goesOn.Wake()
	}
}

// relaunch appends an entry again if it may have been lost while the log stood
// still.
func (l *shared) relaunch(f *flight) {
	if time.Since(f.launched) >= stillTime {
		l.sequence.Append(f.message) //nolint:errcheck // as in launch
	}
}

// Append appends the entry, and waits for it to come back.
func (l *shared) Append(ctx context.Context, e *Entry) error {
	return l.appendWithin(ctx, e, appendTimeout)
}

// appendWithin is Append, with ErrUncertain after the limit.
func (l *shared) appendWithin(ctx context.Context, e *Entry, limit time.Duration) error {
	goesOn := l.goesOn.Wait()
	f, err := l.launch(ctx, e)
	if err != nil {
		return err
	}
	defer l.land(f)
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		select {
		case err := <-f.outcome:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-goesOn:
			goesOn = l.goesOn.Wait()
			l.relaunch(f)
		case <-late.C:
			return ErrUncertain
		}
	}
}

// appendAll appends the entries of one session, some of them at once, until all
// have come back or one has an error.
func (l *shared) appendAll(ctx context.Context, entries iter.Seq[*Entry]) error {
	next, stop := iter.Pull(entries)
	defer stop()
	var flights []*flight // oldest first
	defer func() {
		for _, f := range flights {
			l.land(f)
		}
	}()
	late := time.NewTicker(appendTimeout)
	defer late.Stop()
	goesOn := l.goesOn.Wait()
	for more := true; ; {
		for more && len(flights) < inFlight {
			var e *Entry
			if e, more = next(); !more {
				break
			}
			f, err := l.launch(ctx, e)
			if err != nil {
				return err
			}
			flights = append(flights, f)
		}
		if len(flights) == 0 {
			return nil
		}
		select {
		case err := <-flights[0].outcome:
			if err != nil {
				return err
			}
			l.land(flights[0])
			flights = flights[1:]
			late.Reset(appendTimeout)
		case <-ctx.Done():
			return ctx.Err()
		case <-goesOn:
			goesOn = l.goesOn.Wait()
			for _, f := range flights {
				l.relaunch(f)
			}
		case <-late.C:
			for _, f := range flights {
				l.sequence.Append(f.message) //nolint:errcheck // as above
			}
		}
	}
}
