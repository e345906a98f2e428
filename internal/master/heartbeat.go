package master

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// sign is the last sign of life of a scoutmaster.
type sign struct {
	position uint64
	at       time.Duration // when it was noticed, in audible time
}

// logMaster logs that another scoutmaster has come or gone.
func (p *participant) logMaster(m *scoutmaster) {
	name := zap.String("name", m.tick.Name)
	switch m.phase {
	case masterLive:
		p.log.Info("scoutmaster joined", name, zap.String("url", m.tick.URL), zap.String("version", m.tick.Version))
	case masterLeaving:
		p.log.Info("scoutmaster lost", name, zap.String("reason", "scoutmaster stopping"))
	case masterLost:
		p.log.Warn("scoutmaster lost", name, zap.String("reason", "silent past deadline"))
	case masterBuried:
	}
	if m.phase != masterLive {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.differing, m.instance)
	}
}

// flow notes that entries have come. While they do and the scoutmaster's own word does
// not come back among them, it lags behind the log. A pause of the log, in which nobody
// lags, counts for a heartbeat at most.
func (p *participant) flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, now := p.came, time.Now()
	if p.askedAt.After(since) {
		since = p.askedAt
	}
	p.came = now
	if p.askedAt.IsZero() {
		return
	}
	p.flowed += min(now.Sub(since), p.Heartbeat)
	if p.late() && p.ready && !p.cutOff && !p.leaving && !p.behind {
		p.behind = true
		p.log.Warn("behind", zap.Float64("seconds", now.Sub(p.askedAt).Seconds()))
		p.readyChanged.Wake()
	}
}

// late reports whether the scoutmaster's own word takes longer than the deadline to come
// back. Two heartbeats more are for a word that was lost, and is said again.
func (p *participant) late() bool { return p.flowed >= p.Deadline+2*p.Heartbeat }

// ask notes that the scoutmaster says something, perhaps again.
func (p *participant) ask(word written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.askedAt.IsZero() || p.asked != word {
		p.asked, p.askedAt, p.flowed = word, time.Now(), 0
	}
}

// beat says at each heartbeat that the scoutmaster lives, and judges the others.
func (p *participant) beat(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.quieted, cancel)()
	tick := time.NewTicker(p.Heartbeat)
	defer tick.Stop()
	for {
		p.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.anew:
		}
	}
}

func (p *participant) once(ctx context.Context) {
	if _, adrift := p.registry.state.progress(); adrift {
		if why, idle := p.idle(ctx); idle {
			p.begin(why)
		}
		p.watchCutOff()
		return
	}
	digest, at := p.registry.state.digestNow()
	_, self := p.registry.self()
	p.ask(written{self, p.registry.state.serialOf(self.Instance) + 1})
	err := p.say(ctx, &Tick{
		Name: p.Name, URL: p.URL, Version: p.Version, Address: p.Address,
		Position: at, Digest: digest, Revision: p.registry.state.list.Current().Revision, Reads: formatRead, Deadline: p.Deadline,
	})
	if err == nil {
		p.prove(self.Instance)
		p.judge(ctx)
	}
	p.watchCutOff()
}

// idle reports whether the State is adrift and nothing has come through the log for
// long enough, though the log has answered all the time, and why another epoch is to
// begin then. The State may be another's by the time that the log answers.
func (p *participant) idle(ctx context.Context) (why string, idle bool) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	log, err := p.Sequence.Bounds(ctx)
	position, _ := p.registry.state.progress()
	why, stands := p.standsStill(position, err != nil || log.Last > position)
	_, adrift := p.registry.state.progress()
	return why, stands && adrift
}

// standsStill notes how far the State has followed the log, which may be busy, and
// reports whether that has been so for long enough, and why another epoch is to
// begin then.
func (p *participant) standsStill(position uint64, busy bool) (why string, stands bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if busy || !p.following || position != p.position {
		p.position, p.stood = position, time.Now()
	}
	return p.why, p.following && time.Since(p.stood) >= p.patience
}

// say appends an entry of the scoutmaster itself. Only beat calls it, and leave
// after it. It waits no longer than for a heartbeat, so that a log that stood still is
// noticed to go on as soon as that, and a scoutmaster that is cut off notices it.
func (p *participant) say(ctx context.Context, body Body) error {
	epoch, id := p.registry.self()
	e := &Entry{Epoch: epoch, Session: id, Serial: p.registry.state.serialOf(id.Instance) + 1, Body: body}
	return p.shared.appendWithin(ctx, e, min(appendTimeout, max(p.Heartbeat, stillTime)))
}

// begin begins an epoch.
func (p *participant) begin(why string) {
	before, known := p.registry.state.epochs()
	epoch := max(known+1, uint64(time.Now().UnixMilli()))
	message, err := encode(&Entry{Epoch: epoch, Body: &Begin{Before: before, Reason: why}})
	if err == nil {
		p.Sequence.Append(message) //nolint:errcheck // tried again
	}
}

// prove notes that the scoutmaster's own word has come back, as that instance. It is
// ready if that has not taken too long.
func (p *participant) prove(as Instance) {
	p.registry.mu.Lock() // it does not begin anew meanwhile
	defer p.registry.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registry.life.instance != as || !p.following {
		return
	}
	proven, late, changed := p.proven, p.late(), p.cutOff || !p.ready || p.behind
	p.proven, p.said, p.askedAt, p.flowed = time.Now(), p.askedAt, time.Time{}, 0
	if late || !changed {
		return
	}
	p.cutOff, p.aside, p.ready, p.behind = false, nil, true, false
	p.log.Info("caught up", zap.Uint64("revision", p.registry.state.list.Current().Revision),
		zap.Float64("seconds", time.Since(proven).Seconds()))
	p.readyChanged.Wake()
}

// lag is the time since the scoutmaster said what has come back to it last.
func (p *participant) lag() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.said)
}

// watchCutOff ends the sessions when nothing has come through the log for too
// long: their scouts go elsewhere.
func (p *participant) watchCutOff() {
	p.mu.Lock()
	silence := time.Since(p.proven)
	cut := !p.cutOff && p.aside == nil && !p.proven.IsZero() && silence >= p.CutOff
	p.cutOff = p.cutOff || cut
	p.mu.Unlock()
	if cut {
		p.readyChanged.Wake()
		p.log.Error("cut off", zap.Float64("seconds", silence.Seconds()))
		p.registry.endSessions("nothing comes through the log of this scoutmaster")
	}
}

// judge suspects the scoutmasters of which nothing has come for the deadline, and
// buries those that are lost. Each has its own deadline if that is longer, because the
// scoutmasters of a fleet get another one in turn. The scoutmaster's own word has just
// come back, so everything that the others have said before is known.
//
// Silence counts as long as that word comes back each heartbeat. When the log has
// stood still, the others and their scouts have as long as ever from then on.
func (p *participant) judge(ctx context.Context) {
	now := time.Now()
	p.audible += min(now.Sub(p.judged), 2*p.Heartbeat)
	p.judged = now
	seen := make(map[Instance]sign, len(p.heard))
	_, self := p.registry.self()
	for _, m := range p.registry.state.scoutmasters() {
		last, known := p.heard[m.instance]
		if !known || last.position != m.heard {
			last = sign{position: m.heard, at: p.audible}
		}
		silence, deadline := p.audible-last.at, max(p.Deadline, m.tick.Deadline)
		switch {
		case m.instance == self.Instance:
		case m.phase != masterLive && silence >= 2*deadline:
			p.say(ctx, &Buried{m.instance}) //nolint:errcheck // tried again
		case m.phase != masterLive || silence < deadline:
		case m.suspected == 0:
			p.say(ctx, &Suspect{m.instance}) //nolint:errcheck // tried again
		case silence >= deadline+p.Heartbeat:
			p.say(ctx, &Lost{m.instance, m.suspected}) //nolint:errcheck // tried again
		}
		seen[m.instance] = last
	}
	p.heard = seen
}
