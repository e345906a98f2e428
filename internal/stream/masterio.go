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

// The sender and the receiver of a master's session, and the requests of its handler
// and other goroutines to them.

// answers has the Resync and the Grant that the sender has not sent yet. There is at
// most one of each, because a Grant is for the last Offer. So the handler never waits
// for the scout to read, and a scout cannot make the master hold more.
type answers struct {
	ready wake.Signal // there may be something to send

	mu      sync.Mutex
	due     *scoutv1.Resync // nil: none
	granted bool            // a Grant is due, after the Resync
}

func (a *answers) grant() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted = true
	a.ready.Set()
}

// withdrawGrant cancels a Grant that was not sent yet.
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

// take returns the next answer to send, or nil.
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

// probe is Peer.Probe. Concurrent callers share a Probe that was not sent yet.
func (m *masterSession) probe(ctx context.Context) bool {
	arrival := m.life.next()
	m.probes.Set()
	select {
	case <-arrival:
		// The message may be the last one of a scout that has left since.
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
			return // the call has ended; receive gets the reason
		}
	}
}

// next waits for the next message to send. It returns nil when the session ends.
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
			return masterBeat
		}
	}
}

// masterBeat is the heartbeat of all sessions.
var masterBeat = &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}

// noteSilence counts a missed heartbeat. The scout's heartbeats are as frequent as
// the master's, but not at the same time.
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
		Features:  []string{featureAdoption},
		Kept:      m.kept.encode(),
	}}}
}

// receive is the only receiver. While the inbox is full it receives nothing, which
// does not count as silence. It returns soon after the handler.
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

// hand passes msg to the handler. It returns false if the session ends first.
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
