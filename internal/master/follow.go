package master

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"

	"scout/internal/roster"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// follow applies what comes through the log.
func (p *participant) follow(ctx context.Context) {
	p.start(ctx)
	for ctx.Err() == nil {
		err := p.followOnce(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errTaken):
		case errors.Is(err, ErrRewritten):
			p.rewind(ctx, err.Error())
		case errors.Is(err, ErrUnknown):
			p.standAside()
		case errors.Is(err, errStrayed) && p.strayedAgain():
			p.setUnready()
			p.begin("the lists of several scoutmasters differ")
		default: // of ErrGap: entries are missing
			p.catchUp(ctx)
		}
	}
}

// errTaken: the scoutmaster has taken the state of another.
var errTaken = errors.New("the state is another scoutmaster's")

// followOnce applies what comes through the log. As long as nothing of it counts,
// it asks the other scoutmasters for their state.
func (p *participant) followOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var seeking sync.WaitGroup
	defer seeking.Wait()
	defer cancel(nil)
	seeking.Go(func() {
		if p.seek(ctx) {
			cancel(errTaken)
		}
	})
	p.setFollowing(true)
	defer p.setFollowing(false)
	made, position := p.registry.state.follows()
	err := p.Sequence.Follow(ctx, made, position+1, p.deliver)
	if errors.Is(context.Cause(ctx), errTaken) {
		return errTaken
	}
	return err
}

// seek takes the state of another scoutmaster, unless an epoch begins before. It
// reports whether it has.
func (p *participant) seek(ctx context.Context) bool {
	for ctx.Err() == nil {
		if _, adrift := p.registry.state.progress(); !adrift {
			return false
		}
		if p.take(ctx, p.registry.state.RestoreAdrift) {
			return true
		}
		beforeAskingAgain(ctx)
	}
	return false
}

// beforeAskingAgain waits until the other scoutmasters are asked again, or ctx is done.
func beforeAskingAgain(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(askAgain):
	}
}

// compared notes whether another scoutmaster had the same list. One whose list
// differs from those of most others has strayed; of two that differ, the one with
// the greater instance.
func (p *participant) compared(m *scoutmaster, own Instance, position uint64, same bool, live int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if same {
		delete(p.differing, m.instance)
		return
	}
	p.differing[m.instance] = true
	alike := live - len(p.differing)
	p.log.Error("list differs", zap.String("name", m.tick.Name), zap.Uint64("position", position))
	p.strayed = len(p.differing) > alike || len(p.differing) == alike && m.instance < own
}

// strayedAgain reports whether the state of another scoutmaster has not helped: a
// list differs again, and the epoch is not new.
func (p *participant) strayedAgain() bool {
	mayRebuild := p.mayRebuild()
	p.mu.Lock()
	defer p.mu.Unlock()
	again := !p.strayedAt.IsZero() && time.Since(p.strayedAt) < straysMemory
	p.strayedAt = time.Now()
	return again && mayRebuild
}

// begun notes that another epoch has begun, or that the State is another's.
func (p *participant) begun(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strayed = false
	clear(p.differing)
	if reason != "" {
		p.begunAt, p.strayedAt = time.Now(), time.Time{}
		p.log.Warn("log rebuilt", zap.String("reason", reason))
	}
}

// standAside has the scoutmaster wait until it understands the fleet: until it has
// the state of another, or another epoch has begun.
func (p *participant) standAside() {
	why := ErrUnknown.Error()
	p.log.Error("cut off", zap.String("reason", why))
	p.mu.Lock()
	p.aside = &stream.NotServingError{Reason: why, Cause: roster.ErrCutOff}
	p.readyChanged.Wake()
	p.mu.Unlock()
	made, position := p.registry.state.follows()
	p.drift(made, position, p.Deadline, "no scoutmaster has the state")
	p.registry.endSessions(why)
}

// drift lets nothing count that comes after a position of a log, until the State is
// another's, or an epoch has begun. If nothing comes for so long, this scoutmaster
// begins one.
func (p *participant) drift(made, position uint64, patience time.Duration, why string) {
	p.mu.Lock()
	p.patience, p.why, p.stood = patience, why, time.Now()
	p.mu.Unlock()
	p.registry.state.Rewritten(made, position)
}

// errStrayed: the list differs from those of the other scoutmasters.
var errStrayed = errors.New("the list differs from another scoutmaster's")

// deliver applies messages.
func (p *participant) deliver(position uint64, messages [][]byte) error {
	entries := make([]*Entry, len(messages))
	for i, message := range messages {
		e, err := decode(message)
		if err != nil {
			p.ignore(position+uint64(i), len(message))
			e = noEntry
		}
		entries[i] = e
	}
	outcomes, err := p.registry.state.ApplyAll(position, entries)
	for i, outcome := range outcomes {
		p.shared.settle(entries[i], outcome)
	}
	p.shared.note()
	p.flow()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strayed {
		p.strayed = false
		return errStrayed
	}
	return nil
}

// ignore notes a message that is no entry of the fleet.
func (p *participant) ignore(position uint64, size int) {
	p.ignored.Add(1)
	if withheld, ok := p.foreign.Allow(); ok {
		p.log.Warn("foreign message ignored", zap.Uint64("position", position), zap.Int("bytes", size), zap.Int("withheld", withheld))
	}
}

// start takes the state of another scoutmaster. Where there is none, it replays
// what the log has.
func (p *participant) start(ctx context.Context) {
	for end := time.Now().Add(p.Deadline); ctx.Err() == nil && !p.take(ctx, p.registry.state.Restore); {
		log, err := p.Sequence.Bounds(ctx)
		if err == nil && (log.First > log.Last || time.Now().After(end)) {
			p.replay(log, "no scoutmaster has the state")
			return
		}
		beforeAskingAgain(ctx)
	}
}

// replay has the State follow the log from its first message on. Where the log is
// whole and no epoch begins in it, nobody is in one.
func (p *participant) replay(log Bounds, why string) {
	patience := p.Deadline
	if log.First <= 1 {
		patience = p.Heartbeat
	}
	p.drift(log.Made, log.First-1, patience, why)
}

// catchUp takes the state of another scoutmaster. Without one the log goes on
// with another epoch.
func (p *participant) catchUp(ctx context.Context) {
	p.setUnready()
	for end := time.Now().Add(p.Deadline); ctx.Err() == nil && !p.take(ctx, p.registry.state.Restore); {
		if time.Now().After(end) {
			p.rewind(ctx, "no scoutmaster has the state")
			return
		}
		beforeAskingAgain(ctx)
	}
}

// take takes the state of another scoutmaster that follows the log as it is now, and
// reports whether there was one. A state that contradicts itself helps nobody:
// another epoch begins.
func (p *participant) take(ctx context.Context, restore func(uint64, iter.Seq2[*scoutv1.StatePart, error]) error) bool {
	log, err := p.Sequence.Bounds(ctx)
	if err == nil {
		err = restore(log.Made, p.Peers.State(ctx))
	}
	if errors.Is(err, errUnsound) && p.mayRebuild() {
		p.begin(err.Error())
	}
	return err == nil
}

// mayRebuild reports whether the epoch is old enough for another one.
func (p *participant) mayRebuild() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.begunAt) >= rebuildAgain
}

// rewind has the State follow the log from its first message on, which does not
// continue what the State knows.
func (p *participant) rewind(ctx context.Context, why string) {
	p.setUnready()
	for ctx.Err() == nil {
		if log, err := p.Sequence.Bounds(ctx); err == nil {
			p.replay(log, why)
			return
		}
		beforeAskingAgain(ctx)
	}
}

func (p *participant) setFollowing(following bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.following = following
}
