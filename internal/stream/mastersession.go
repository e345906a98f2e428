package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

const (
	// How many messages may wait while the handler is busy: the most that a scout
	// can make the master hold beyond what has been taken in.
	inboxSize = 16
	// How many answers may wait to be sent. Each answers one message, and a scout
	// waits for it before the next, so more than a few means that it does not
	// read.
	outboxSize = 16
	// How many bytes to reckon a name with whose size is not known.
	usualName = 64
)

// masterSession is the master's end of one session. Three goroutines share it:
// the handler owns what the session is about, receive only receives and send
// only sends. So neither a long update nor a full connection keeps the scout
// from being heard, probed and told that the master lives, and whatever ends
// the session frees them all: in a gRPC handler only returning does that.
type masterSession struct {
	server *Server
	stream scoutv1.ScoutmasterService_SessionServer
	ctx    context.Context         // done when the session has to end
	end    context.CancelCauseFunc // says why; the first reason counts
	life   life
	inbox  chan *scoutv1.SessionRequest  // closed after the scout's half-close
	outbox chan *scoutv1.SessionResponse // the handler's answers
	probes chan struct{}                 // of one: a Probe is wanted
	looks  *looks

	// The handler's alone.
	id       string
	address  string
	identity string // who the scout proved to be; empty when nobody asked
	origin   files.Origin
	allowed  time.Duration // when the Authorizer was last asked, in awake time
	replica  replica
	slot     *slot           // of the snapshot that was offered
	grant    <-chan struct{} // closed when the slot is granted; nil when not waiting
}

func newMasterSession(s *Server, stream scoutv1.ScoutmasterService_SessionServer) *masterSession {
	m := &masterSession{
		server:  s,
		stream:  stream,
		life:    life{clock: s.clock},
		inbox:   make(chan *scoutv1.SessionRequest, inboxSize),
		outbox:  make(chan *scoutv1.SessionResponse, outboxSize),
		probes:  make(chan struct{}, 1),
		looks:   newLooks(),
		id:      rand.Text()[:8],
		address: address(stream.Context()),
		replica: replica{quota: s.quota},
	}
	// Not the stream's own: that is done, without a reason, before Recv says why.
	m.ctx, m.end = context.WithCancelCause(context.WithoutCancel(stream.Context()))
	return m
}

func address(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}

// run is the session from its Hello to its end. The error is the status that
// the call ends with.
func (m *masterSession) run() error {
	defer m.end(nil)
	if err := m.identify(); err != nil {
		return m.refuse(err)
	}
	stop := context.AfterFunc(m.server.stopping, func() { m.end(errStopping) })
	defer stop()
	deadline := m.server.config.Deadline
	m.life.watch(deadline, func() { m.end(silent(deadline)) })
	defer m.life.unwatch()
	m.server.sessions.Go(m.receive)

	member, err := m.register()
	if err != nil {
		return m.refuse(err)
	}
	defer m.server.quota.leave()
	m.replica.member, m.replica.recorder = member, m.server.config.Recorder
	m.server.sessions.Go(m.send)
	err = m.serve()
	m.slot.release()
	m.replica.forget()
	end := endingOf(err)
	member.Leave(end.left)
	m.server.config.Recorder.Left(end.left)
	return m.conclude(end)
}

// identify finds out who the scout is, before anything that it says is heard.
func (m *masterSession) identify() (err error) {
	m.identity, err = m.server.config.Authorizer.Identify(m.stream.Context())
	return denied(err)
}

// authorize makes sure that the scout may show what it says it does.
func (m *masterSession) authorize() error {
	m.allowed = m.server.clock.now()
	return denied(m.server.config.Authorizer.Authorize(m.stream.Context(), m.origin))
}

// register hears the Hello, and lets the scout in if it may come in and there
// is room. It is counted then.
func (m *masterSession) register() (Member, error) {
	hello, err := m.hello()
	if err != nil {
		return nil, err
	}
	m.origin = origin(hello)
	if err := m.authorize(); err != nil {
		return nil, err
	}
	if err := m.server.room(); err != nil {
		return nil, err
	}
	if err := m.server.quota.enter(); err != nil {
		return nil, err
	}
	member, err := m.join(hello)
	if err != nil {
		m.server.quota.leave()
	}
	return member, err
}

// join joins the registry.
func (m *masterSession) join(hello *scoutv1.Hello) (Member, error) {
	// The scout waits for its Welcome and owes no sign of life until it knows
	// the heartbeat.
	m.life.suspend()
	defer m.life.resume()
	return m.server.registry.Join(m.ctx, Peer{
		Origin:   m.origin,
		Version:  oneLine(hello.GetVersion(), maxVersion),
		Session:  m.id,
		Address:  m.address,
		Identity: m.identity,
		Probe:    m.probe,
		Rescan:   m.looks.ask,
		Silence:  m.life.ago,
		Evict:    func(reason string) { m.end(evicted(reason)) },
	})
}

func (m *masterSession) hello() (*scoutv1.Hello, error) {
	select {
	case <-m.ctx.Done():
		return nil, context.Cause(m.ctx)
	case msg := <-m.inbox:
		return msg.GetHello(), checkHello(msg.GetHello())
	}
}

// refuse ends a session that did not come to be. The registry logs whom it
// refuses itself, and somebody who just went away is no news.
func (m *masterSession) refuse(err error) error {
	if m.ctx.Err() != nil {
		err = context.Cause(m.ctx)
	}
	end := refusalOf(err)
	m.server.config.Recorder.Refused(end.left)
	switch end.left {
	case LeftViolation, LeftSilent, LeftNoRoom:
		m.log().Warn("session refused", zap.String("reason", end.text))
	case LeftDenied, LeftExceeded:
		m.server.config.Log.Warn("registration refused", text("host", m.origin.Host), text("directory", m.origin.Directory),
			zap.String("reason", end.text), text("identity", m.identity), zap.String("address", m.address))
	}
	return end
}

// text is a field, if there is something in it.
func text(key, value string) zap.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(key, value)
}

// conclude is the status of a session that came to be. The registry logs that
// the scout has left, but does not know which rule it broke, or what there is
// no room in.
func (m *masterSession) conclude(end *ending) error {
	if end.code == codes.OK {
		return nil
	}
	switch end.left {
	case LeftViolation:
		m.log().Warn("protocol violation", zap.String("rule", end.text))
	case LeftExceeded:
		m.log().Warn("limit exceeded", zap.String("limit", end.text))
	case LeftDenied:
		m.log().Warn("permission withdrawn", zap.String("reason", end.text), zap.String("identity", m.identity))
	case LeftNoRoom:
		m.log().Warn("session refused", zap.String("reason", end.text))
	default:
	}
	return end
}

// log is the server's log with what is known of this session.
func (m *masterSession) log() *zap.Logger {
	return m.server.config.Log.With(
		zap.String("host", m.origin.Host),
		zap.String("directory", m.origin.Directory),
		zap.String("session", m.id),
		zap.String("peer", m.address),
	)
}

// serve handles what the scout says until the session has to end; then nothing
// that is still in the inbox counts. It is nil when the scout deregistered.
func (m *masterSession) serve() error {
	for m.ctx.Err() == nil {
		select {
		case <-m.ctx.Done():
		case <-m.grant:
			if err := m.sayGrant(); err != nil {
				return err
			}
		case msg, ok := <-m.inbox:
			if !ok {
				return nil
			}
			if err := m.handle(msg); err != nil {
				return err
			}
		}
	}
	return context.Cause(m.ctx)
}

// handle does what one message asks for. One that says nothing known was a sign
// of life. What was permitted once may be no more: that is asked once in a
// while.
func (m *masterSession) handle(msg *scoutv1.SessionRequest) error {
	if m.server.clock.since(m.allowed) >= m.server.config.Heartbeat {
		if err := m.authorize(); err != nil {
			return err
		}
	}
	switch msg := msg.GetMessage().(type) {
	case *scoutv1.SessionRequest_Hello:
		return violation("a second Hello")
	case *scoutv1.SessionRequest_Offer:
		return m.offer(msg.Offer)
	case *scoutv1.SessionRequest_Update:
		return m.update(msg.Update)
	case *scoutv1.SessionRequest_Unavailable:
		m.unavailable(msg.Unavailable)
	case *scoutv1.SessionRequest_Beat:
		return m.repair(m.replica.beat(msg.Beat))
	case *scoutv1.SessionRequest_Looked:
		return m.looked(msg.Looked)
	}
	return nil
}

// offer queues for a slot. An Offer that comes while another waits, or was
// granted and not used, is the same one said again.
func (m *masterSession) offer(o *scoutv1.Offer) error {
	if err := m.replica.offer(o.GetCount()); err != nil {
		return err
	}
	if m.slot == nil {
		m.slot = m.server.admission.request(sizeOf(o))
		m.grant = m.slot.ready()
	}
	return nil
}

// sizeOf is about how many bytes the offered snapshot takes.
func sizeOf(o *scoutv1.Offer) int64 {
	if o.GetBytes() > 0 {
		return int64(min(o.GetBytes(), math.MaxInt64))
	}
	return int64(min(o.GetCount(), math.MaxInt64/usualName) * usualName)
}

// sayGrant grants the snapshot that was offered. A master without memory for it
// ends the session instead: the scout will try again.
func (m *masterSession) sayGrant() error {
	if err := m.server.room(); err != nil {
		return err
	}
	m.grant = nil
	m.replica.allow()
	return m.say(&scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Grant{Grant: &scoutv1.Grant{}}})
}

func (m *masterSession) update(u *scoutv1.Update) error {
	m.slot.arrive(len(u.GetAdded()))
	err := m.replica.update(u)
	if u.GetReset_() && !u.GetMore() {
		m.withdraw()
	}
	return m.repair(err)
}

func (m *masterSession) unavailable(u *scoutv1.Unavailable) {
	m.withdraw()
	m.replica.unavailable(oneLine(u.GetReason(), maxReason), u.GetScanned())
}

// looked believes the scout, unless it speaks of a copy that is known to be
// wrong.
func (m *masterSession) looked(l *scoutv1.Looked) error {
	counts, err := m.replica.looked()
	if err != nil {
		return err
	}
	return m.looks.answer(l.GetTicket(), counts)
}

// withdraw gives back the slot, or the place in the queue for one.
func (m *masterSession) withdraw() {
	m.slot.release()
	m.slot, m.grant = nil, nil
}

// repair asks for a new snapshot when err says that the copy differs, and hands
// on any other error.
func (m *masterSession) repair(err error) error {
	differs, ok := errors.AsType[*difference](err)
	if !ok {
		return err
	}
	m.log().Warn("copy differs", zap.Stringer("copy", differs.copy), zap.Stringer("scout", differs.scout))
	m.server.config.Recorder.Resync()
	m.withdraw()
	m.replica.resync()
	return m.say(&scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Resync{
		Resync: &scoutv1.Resync{Reason: differs.Error()},
	}})
}
