package stream

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	scoutv1 "scout/proto/scout/v1"
)

// The sender and the receiver of a master's session, and what its handler and
// others ask of them.

// say hands an answer to send. The handler never waits for the scout to read.
func (m *masterSession) say(msg *scoutv1.SessionResponse) error {
	select {
	case m.outbox <- msg:
		return nil
	default:
		return errNotReading
	}
}

// probe is Peer.Probe. One Probe answers all who ask before it is sent.
func (m *masterSession) probe(ctx context.Context) bool {
	arrival := m.life.next()
	select {
	case m.probes <- struct{}{}:
	default:
	}
	select {
	case <-arrival:
		// What has arrived may be the last that one said who has left since.
		return m.stream.Context().Err() == nil
	case <-ctx.Done():
		return false
	case <-m.ctx.Done():
		return false
	}
}

// send is the only sender: the Welcome, then the handler's answers, probes, and a
// beat each heartbeat.
func (m *masterSession) send() {
	beats := time.NewTicker(m.server.config.Heartbeat)
	defer beats.Stop()
	for msg := m.welcome(); msg != nil; msg = m.next(beats.C) {
		if err := m.stream.Send(msg); err != nil {
			return // the call is over, and receive learns why
		}
	}
}

// next waits for something to say; nil when the session ends.
func (m *masterSession) next(beats <-chan time.Time) *scoutv1.SessionResponse {
	for {
		select {
		case <-m.ctx.Done():
			return nil
		case msg := <-m.outbox:
			return msg
		case <-m.probes:
			return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Probe{Probe: &scoutv1.Probe{}}}
		case <-m.looks.wanted:
			if ticket := m.looks.issue(); ticket != 0 {
				return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Look{Look: &scoutv1.Look{Ticket: ticket}}}
			}
		case <-beats:
			m.noteSilence()
			return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}
		}
	}
}

// noteSilence counts a heartbeat that has not come. A scout's comes as often as the
// master's, but not at the same time.
func (m *masterSession) noteSilence() {
	if h := m.server.config.Heartbeat; m.life.quiet() > h+h/2 {
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

// receive is the only receiver. Nothing is heard while the inbox is full, so
// that is not held against the scout. It returns soon after the handler has.
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

// hand passes msg to the handler. It is false when the session ends instead.
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
