package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"scout/internal/files"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// inboxSize is the number of messages that may wait while the handler is busy. A
// scout cannot make the master hold more unprocessed messages.
const inboxSize = 16

// masterSession is the master's end of one session. Three goroutines share it: the
// handler owns the state, receive only receives, and send only sends. So during a long
// update or with a full connection the master still hears and probes the scout and
// sends heartbeats. When the session ends the handler returns, which is the only way to
// end a gRPC call, and the other two end with it.
type masterSession struct {
	server  *Server
	stream  scoutv1.ScoutmasterService_SessionServer
	ctx     context.Context         // done when the session has to end
	end     context.CancelCauseFunc // with the reason; the first one counts
	life    liveness
	inbox   chan *scoutv1.SessionRequest // closed after the scout's half-close
	answers answers
	probes  wake.Signal // a Probe is wanted
	rescans *rescanRequests

	// Only the handler uses these.
	id        string
	address   string
	identity  string // the proven name of the scout; empty if none is required
	origin    files.Origin
	allowed   time.Duration // when the Authorizer was last asked, in awake time
	kept      *Kept         // what the Welcome keeps; nil: nothing
	replica   replica
	spacing   spacing
	resyncDue <-chan time.Time // in phaseDiffering
	wrong     string           // the reason of that Resync
}

func newMasterSession(s *Server, stream scoutv1.ScoutmasterService_SessionServer) *masterSession {
	m := &masterSession{
		server:  s,
		stream:  stream,
		life:    liveness{clock: s.clock},
		inbox:   make(chan *scoutv1.SessionRequest, inboxSize),
		answers: answers{ready: wake.NewSignal()},
		probes:  wake.NewSignal(),
		rescans: newRescanRequests(),
		id:      rand.Text()[:8],
		address: addressOf(stream.Context()),
		replica: replica{quota: s.quota, queue: s.queue, recorder: s.config.Recorder},
		spacing: spacing{first: firstResync, most: lastResync},
	}
	// The stream's context would be done, without a reason, before Recv returns it.
	m.ctx, m.end = context.WithCancelCause(context.WithoutCancel(stream.Context()))
	return m
}

func addressOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}

// run runs the session from its Hello to its end. It returns the status of the call.
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
	m.replica.member = member
	m.kept = member.Kept()
	if err = m.replica.adopt(m.kept); err == nil {
		m.server.sessions.Go(m.send)
		err = m.serve()
	}
	m.replica.drop()
	end := endingOf(err)
	member.Leave(end.left)
	m.server.config.Recorder.Left(end.left)
	return m.conclude(end)
}

// identify determines the identity of the scout before its first message.
func (m *masterSession) identify() (err error) {
	m.identity, err = m.server.config.Authorizer.Identify(m.stream.Context())
	return denied(err)
}

// authorize checks that the scout may show its origin.
func (m *masterSession) authorize() error {
	m.allowed = m.server.clock.now()
	return denied(m.server.config.Authorizer.Authorize(m.stream.Context(), m.origin))
}

// register receives the Hello, and registers the scout if it is authorized and there
// is capacity.
func (m *masterSession) register() (Member, error) {
	hello, err := m.hello()
	if err != nil {
		return nil, err
	}
	m.origin = origin(hello)
	if err := m.authorize(); err != nil {
		return nil, err
	}
	if err := m.server.full(); err != nil {
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

// join registers the scout with the registry.
func (m *masterSession) join(hello *scoutv1.Hello) (Member, error) {
	// The scout waits for its Welcome. It need not send anything until it knows the
	// heartbeat.
	m.life.suspend()
	defer m.life.resume()
	before, sent := sentBefore(hello)
	return m.server.registry.Join(m.ctx, Peer{
		Origin:   m.origin,
		Version:  oneLine(hello.GetVersion(), maxVersion),
		Session:  m.id,
		Address:  m.address,
		Identity: m.identity,
		Before:   before,
		Sent:     sent,
		Probe:    m.probe,
		Rescan:   m.rescans.ask,
		Silence:  m.life.silence,
		Evict:    func(reason string) { m.end(evicted(reason)) },
		Dismiss:  func(reason string) { m.end(dismissed(reason)) },
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

// refuse ends a session that was not registered. The registry logs its own refusals.
// A peer that only disconnected is not logged.
func (m *masterSession) refuse(err error) error {
	if m.ctx.Err() != nil {
		err = context.Cause(m.ctx)
	}
	end := refusalOf(err)
	m.server.config.Recorder.Refused(end.left)
	switch end.left {
	case LeftViolation, LeftSilent, LeftNoRoom:
		m.server.log.warn("session refused", m.cause(end.text), append(m.fields(), zap.String("reason", end.text))...)
	case LeftDenied, LeftExceeded:
		m.server.log.warn("registration refused", m.cause(end.text), text("host", m.origin.Host), text("directory", m.origin.Directory),
			zap.String("reason", end.text), text("identity", m.identity), zap.String("address", m.address))
	}
	return end
}

// text returns a field, or nothing if the value is empty.
func text(key, value string) zap.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(key, value)
}

// conclude returns the status of a session that was registered. It logs which rule the
// scout broke or which limit it exceeded; the registry logs that the scout has left.
func (m *masterSession) conclude(end *ending) error {
	if end.code == codes.OK {
		return nil
	}
	switch end.left {
	case LeftViolation:
		m.server.log.warn("protocol violation", m.cause(end.text), append(m.fields(), zap.String("rule", end.text))...)
	case LeftExceeded:
		m.server.log.warn("limit exceeded", m.cause(end.text), append(m.fields(), zap.String("limit", end.text))...)
	case LeftDenied:
		m.server.log.warn("permission withdrawn", m.cause(end.text),
			append(m.fields(), zap.String("reason", end.text), zap.String("identity", m.identity))...)
	case LeftNoRoom:
		m.server.log.warn("session refused", m.cause(end.text), append(m.fields(), zap.String("reason", end.text))...)
	default:
	}
	return end
}

// fields returns the log fields of this session.
func (m *masterSession) fields() []zap.Field {
	return []zap.Field{
		zap.String("host", m.origin.Host),
		zap.String("directory", m.origin.Directory),
		zap.String("session", m.id),
		zap.String("peer", m.address),
	}
}

// cause identifies the cause of a log line, by which such lines are limited: the
// scout, or the address of one that has not said which it is, and the reason.
func (m *masterSession) cause(reason string) string {
	if m.origin == (files.Origin{}) {
		host, _, _ := net.SplitHostPort(m.address) // addresses without a port are one cause
		return host + "\x00" + reason
	}
	return m.origin.Host + "\x00" + m.origin.Directory + "\x00" + reason
}

// serve handles messages until the session has to end. Messages that are in the inbox
// then have no effect. It returns nil if the scout deregistered.
func (m *masterSession) serve() error {
	for m.ctx.Err() == nil {
		var err error
		select {
		case <-m.ctx.Done():
		case <-m.replica.slotReady():
			err = m.grant()
		case <-m.resyncDue:
			m.resync()
		case msg, ok := <-m.inbox:
			if !ok {
				return nil
			}
			err = m.handle(msg)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(m.ctx)
}

// handle handles one message. It asks the Authorizer again once each heartbeat, because
// a permission may be withdrawn.
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
		return m.replica.offer(msg.Offer)
	case *scoutv1.SessionRequest_Update:
		return m.repair(m.replica.update(msg.Update))
	case *scoutv1.SessionRequest_Unavailable:
		m.answers.withdrawGrant()
		m.replica.unavailable(oneLine(msg.Unavailable.GetReason(), maxReason), msg.Unavailable.GetScanned())
	case *scoutv1.SessionRequest_Beat:
		return m.repair(m.replica.beat(msg.Beat))
	case *scoutv1.SessionRequest_Looked:
		return m.looked(msg.Looked)
	}
	return nil
}

// grant grants the offered snapshot. A master without memory for it ends the session
// instead; the scout will try again.
func (m *masterSession) grant() error {
	if err := m.server.full(); err != nil {
		return err
	}
	m.replica.grant()
	m.answers.grant()
	return nil
}

// looked handles a Looked. It does not count if the copy is known to be wrong.
func (m *masterSession) looked(l *scoutv1.Looked) error {
	counts, err := m.replica.looked()
	if err != nil {
		return err
	}
	return m.rescans.answer(l.GetTicket(), counts)
}

// repair hides the scout and requests a new snapshot, if err says that the copy
// differs or that a snapshot arrived early. It returns any other error.
func (m *masterSession) repair(err error) error {
	differs, ok := errors.AsType[*difference](err)
	if !ok && !errors.Is(err, errEarly) {
		return err
	}
	if ok {
		m.server.log.warn("copy differs", m.cause(""), append(m.fields(),
			zap.Stringer("copy", differs.copy), zap.Stringer("scout", differs.scout))...)
	}
	m.server.config.Recorder.Resync()
	m.answers.withdrawGrant()
	m.replica.differ()
	m.wrong = err.Error()
	if wait := m.spacing.next(); wait > 0 {
		m.resyncDue = time.After(wait)
		return nil
	}
	m.resync()
	return nil
}

// resync sends the Resync.
func (m *masterSession) resync() {
	m.replica.resync()
	m.answers.resync(m.wrong)
	m.resyncDue = nil
}
