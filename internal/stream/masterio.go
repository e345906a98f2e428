package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// The sender and the receiver of a master's session, and what its handler and
// other goroutines ask of them.

// answers are the handler's Resync and Grant that the sender has not sent yet: at
// most one of each, because a Grant is for the last Offer. So the handler never
// waits for the scout to read, and however much the scout asks, the master holds
// no more than that.
type answers struct {
	ready wake.Signal // there may be something to send

	mu      sync.Mutex
	due     *scoutv1.Resync // nil: none
	granted bool            // a Grant is due, behind the Resync
}

func (a *answers) grant() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted = true
	a.ready.Set()
}

// withdrawGrant keeps a Grant from being sent, if it is not too late.
func (a *answers) withdrawGrant() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted = false
}

func (a *answers) resync(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = &scoutv1.Resync{Reason: reason}
	a.ready.Set()
}

// take returns what to send next, or nil.
func (a *answers) take() *scoutv1.SessionResponse {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.due; r != nil {
		a.due = nil
		a.ready.Set()
		return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Resync{Resync: r}}
	}
	if a.granted {
		a.granted = false
		return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Grant{Grant: &scoutv1.Grant{}}}
	}
	return nil
}

// probe is Peer.Probe. Callers that ask before a Probe is sent share it.
func (m *masterSession) probe(ctx context.Context) bool {
	arrival := m.life.next()
	m.probes.Set()
	select {
	case <-arrival:
		// What has arrived may be the last words of a scout that has left since.
		return m.stream.Context().Err() == nil
	case <-ctx.Done():
		return false
	case <-m.ctx.Done():
		return false
	}
}

// send is the only sender: the Welcome, then the handler's answers, Probes,
// Looks, and a beat each heartbeat.
func (m *masterSession) send() {
	beats := time.NewTicker(m.server.config.Heartbeat)
	defer beats.Stop()
	for msg := m.welcome(); msg != nil; msg = m.next(beats.C) {
		if err := m.stream.Send(msg); err != nil {
			return // the call is over, and receive learns why
		}
	}
}

// next waits for something to say. It returns nil when the session ends.
func (m *masterSession) next(beats <-chan time.Time) *scoutv1.SessionResponse {
	for {
		select {
		case <-m.ctx.Done():
			return nil
		case <-m.answers.ready:
			if msg := m.answers.take(); msg != nil {
				return msg
			}
		case <-m.probes:
			return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Probe{Probe: &scoutv1.Probe{}}}
		case <-m.rescans.wanted:
			if ticket := m.rescans.issue(); ticket != 0 {
				return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Look{Look: &scoutv1.Look{Ticket: ticket}}}
			}
		case <-beats:
			m.noteSilence()
			return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}
		}
	}
}

// noteSilence counts a heartbeat that has not come. The scout's heartbeats come
// as often as the master's, but not at the same time.
func (m *masterSession) noteSilence() {
	if h := m.server.config.Heartbeat; m.life.silence() > h+h/2 {
		m.server.config.Recorder.HeartbeatMissed()
	}
}

func (m *masterSession) welcome() *scoutv1.SessionResponse {
	config := m.server.config
	return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Welcome{Welcome: &scoutv1.Welcome{
		Session:   m.id,
		Heartbeat: durationpb.New(config.Heartbeat),
		Deadline:  durationpb.New(config.Deadline),
	}}}
}

// receive is the only receiver. While the inbox is full nothing is heard, which
// does not count as the scout's silence. It returns soon after the handler has.
func (m *masterSession) receive() {
	for {
		msg, err := m.stream.Recv()
		if errors.Is(err, io.EOF) {
			close(m.inbox)
			return
		}
		if err != nil {
			m.end(broken(err))
			return
		}
		m.life.hear()
		if !m.hand(msg) {
			return
		}
	}
}

// hand passes msg to the handler. It returns false when the session ends instead.
func (m *masterSession) hand(msg *scoutv1.SessionRequest) bool {
	select {
	case m.inbox <- msg:
		return true
	default:
	}
	m.life.suspend()
	defer m.life.resume()
	select {
	case m.inbox <- msg:
		return true
	case <-m.ctx.Done():
		return false
	}
}
