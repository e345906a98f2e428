package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// leaveGrace is how long a scout that deregisters waits for the answer.
const leaveGrace = 500 * time.Millisecond

// pulseEvery is the interval of pulses while a scout has nothing to send.
const pulseEvery = 5 * time.Second

// slowGrant is the time after which a missing Grant is logged.
const slowGrant = 10 * time.Second

// scoutPhase is the phase of a scout's session. The package documentation has a table of
// phases and messages.
type scoutPhase int

const (
	phaseUntold      scoutPhase = iota // nothing was sent since the Welcome or a Resync
	phaseUnavailable                   // an Unavailable was sent
	phaseOffered                       // an Offer was sent
	phaseAllowed                       // the Offer was granted: the snapshot is next
	phaseSynced                        // the master shows a set
)

// scoutSession is the scout's end of one session. run is the only sender and owns the
// phase. receive only receives, so that the master is heard even while a message waits
// for the network.
type scoutSession struct {
	id        string
	heartbeat time.Duration
	deadline  time.Duration

	scout  *lasting
	target dial.Target
	turns  <-chan time.Time // a pulse is due
	log    *zap.Logger
	conn   *grpc.ClientConn
	stream scoutv1.ScoutmasterService_SessionClient
	ctx    context.Context         // done when the session has ended
	end    context.CancelCauseFunc // with the reason; the first one counts
	life   liveness
	asked  asked
	probes wake.Signal // a Beat is wanted
	rescan rescan

	kept *files.Set // the state that the Welcome keeps; nil: none

	// Only run uses these: the state that was sent to the master.
	phase    scoutPhase
	sent     *files.Set       // in phaseSynced: the set that the master shows
	reason   string           // in phaseUnavailable: why there is no set
	scanned  int              // in phaseUnavailable: files scanned so far
	revision uint64           // of the last update
	beats    *time.Ticker     // a Beat is due
	reported Condition        // in the last Beat
	learned  time.Time        // of the oldest change that was not sent yet; zero: just now
	spacing  spacing          // of the Offers that answer Resyncs
	offerDue <-chan time.Time // an Offer waits for it; nil: it may be sent
	slow     *time.Timer      // in phaseOffered: logs a missing Grant
	settled  time.Time        // in phaseSynced and phaseUnavailable: since when
	proven   bool             // the session was settled for provenAfter
}

// openSession registers a scout with a master, unless ctx is done first. It calls
// connected when the master has answered on the connection, which is a new one, so that
// gRPC's own backoff does not add to the scout's.
func openSession(ctx context.Context, target dial.Target, l *lasting, connected func()) (*scoutSession, error) {
	credentials, err := l.Credentials()
	if err != nil {
		return nil, err
	}
	conn, err := target.Client(append(DialOptions(), credentials...)...)
	if err != nil {
		return nil, err
	}
	c := &scoutSession{
		scout:   l,
		target:  target,
		conn:    conn,
		life:    liveness{clock: l.clock},
		asked:   asked{ready: wake.NewSignal()},
		probes:  wake.NewSignal(),
		rescan:  newRescan(),
		spacing: spacing{first: firstResync, most: lastResync},
	}
	// This is not ctx: when ctx is done the scout has to deregister first.
	c.ctx, c.end = context.WithCancelCause(context.WithoutCancel(ctx))
	leaving := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	err = c.register(hello(l.Scout, &l.sent), connected)
	if inTime := leaving(); err == nil && !inTime {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = c.because(err)
		c.close()
		return nil, err
	}
	l.sent.session = c.id
	c.log = l.Log.With(zap.String("session", c.id))
	return c, nil
}

// register sends the Hello and waits for the Welcome. It calls connected between them.
func (c *scoutSession) register(hello *scoutv1.SessionRequest, connected func()) error {
	stream, err := scoutv1.NewScoutmasterServiceClient(c.conn).Session(c.ctx)
	if err != nil {
		return err
	}
	connected()
	c.stream = stream
	// If the call has already ended, Recv returns the reason.
	if err := stream.Send(hello); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	msg, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	if err != nil {
		return err
	}
	return c.welcome(msg.GetWelcome())
}

func hello(s *Scout, sent *sentStates) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Hello{Hello: &scoutv1.Hello{
		Host:      s.Origin.Host,
		Directory: []byte(s.Origin.Directory),
		Version:   oneLine(s.Version, maxVersion),
		Features:  []string{featureAdoption},
		Before:    sent.session,
		States:    sent.offer(),
	}}}
}

func (c *scoutSession) welcome(w *scoutv1.Welcome) error {
	c.id = oneLine(w.GetSession(), maxVersion)
	c.heartbeat = w.GetHeartbeat().AsDuration()
	c.deadline = w.GetDeadline().AsDuration()
	if w == nil {
		return errNoWelcome
	}
	if err := CheckTiming(c.heartbeat, c.deadline); err != nil {
		return fmt.Errorf("%w: %w", errTiming, err)
	}
	if err := c.adopt(w.GetKept()); err != nil {
		return err
	}
	return c.ctx.Err()
}

// because returns the reason why the session ended. err may be a consequence of it.
func (c *scoutSession) because(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// close ends the session, if it has not ended. It does not wait for the connection,
// because grpc takes five seconds to close a stuck one.
func (c *scoutSession) close() {
	c.end(nil)
	go c.conn.Close() //nolint:errcheck // the only error is that it is closed already
}

// run keeps the master up to date until the session ends, and returns the reason of
// the end. When ctx is done it deregisters.
func (c *scoutSession) run(ctx context.Context) error {
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer c.close()
	receiving.Go(c.receive)
	c.life.watch(c.deadline, func() { c.end(fmt.Errorf("the master was silent past the deadline of %v", c.deadline)) })
	defer c.life.unwatch()
	stop := context.AfterFunc(ctx, c.hurry)
	defer stop()
	return c.because(c.loop(ctx))
}

// hurry ends the session soon, even if the master does not read or answer.
func (c *scoutSession) hurry() {
	time.AfterFunc(leaveGrace, func() { c.end(errors.New("deregistered without an answer")) })
}

// loop sends what the master does not have yet, then waits for the next event, and
// repeats. Changes during a send are sent together afterwards.
func (c *scoutSession) loop(ctx context.Context) error {
	c.beats = time.NewTicker(c.heartbeat)
	defer c.beats.Stop()
	turns := time.NewTicker(pulseEvery)
	defer turns.Stop()
	c.turns = turns.C
	c.slow = time.AfterFunc(slowGrant, c.complain)
	defer c.slow.Stop()
	c.slow.Stop() // until there is an Offer
	if c.kept != nil {
		c.enter(phaseSynced)
		c.sent, c.revision, c.kept = c.kept, adoptedRevision, nil
	}
	for {
		c.note()
		rescanned, v := c.rescan.ready(), c.scout.Directory.View()
		if err := c.tell(ctx, v); err != nil {
			return err
		}
		c.learned = time.Time{}
		if rescanned && c.phase == phaseSynced {
			if err := c.looked(v); err != nil {
				return err
			}
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// wait waits for the next event, and sends a Beat that is due.
func (c *scoutSession) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return c.deregister()
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case c.learned = <-c.scout.Directory.Changed():
		return nil
	case <-c.asked.ready:
		c.obey()
		return nil
	case <-c.offerDue:
		c.offerDue = nil
		return nil
	case <-c.rescan.next():
		c.rescan.begin(c.scout.Directory)
		return nil
	case <-c.rescan.done:
		c.rescan.done = nil
		return nil
	case <-c.turns:
		c.scout.pulse()
		return nil
	case <-c.probes:
		return c.beat()
	case <-c.beats.C:
		return c.beat()
	}
}

// note records when the change to send was learned, unless wait has.
func (c *scoutSession) note() {
	if !c.learned.IsZero() {
		return
	}
	select {
	case c.learned = <-c.scout.Directory.Changed():
	default:
	}
}

// tell sends v to the master, or offers it.
func (c *scoutSession) tell(ctx context.Context, v files.View) error {
	if v.Set == nil {
		if c.phase == phaseUnavailable && v.Reason == c.reason {
			return nil
		}
		return c.unavailable(v)
	}
	switch c.phase {
	case phaseUntold, phaseUnavailable:
		if c.offerDue != nil {
			return nil
		}
		return c.offer(v.Set)
	case phaseOffered:
		return nil
	case phaseAllowed:
		return c.snapshot(ctx, v.Set)
	case phaseSynced:
		if v.Set == c.sent {
			return nil
		}
		return c.change(ctx, v)
	}
	return nil
}

// enter changes the phase. The set that the master shows is known only in phaseSynced.
func (c *scoutSession) enter(p scoutPhase) {
	c.proven = c.isProven()
	if p != phaseSynced && p != phaseUnavailable {
		c.settled = time.Time{}
	} else if c.settled.IsZero() {
		c.settled = time.Now()
	}
	c.phase, c.sent = p, nil
	c.slow.Stop()
	if p == phaseOffered {
		c.slow.Reset(slowGrant)
	}
}

// isProven reports whether the master and everything between has let the session have
// what it needs: what the scout had to tell was told, and the session went on for
// provenAfter. That it lasted proves nothing, because a large snapshot takes its time
// before it fails.
func (c *scoutSession) isProven() bool {
	return c.proven || !c.settled.IsZero() && time.Since(c.settled) >= provenAfter
}

// looked answers the Look in progress, after everything that the rescan found was sent.
// A Beat before the answer says why files may be missing.
func (c *scoutSession) looked(v files.View) error {
	if conditionOf(v).Incomplete != c.reported.Incomplete {
		if err := c.beat(); err != nil {
			return err
		}
	}
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Looked{
		Looked: &scoutv1.Looked{Ticket: c.rescan.finish()},
	}})
}

// unavailable sends the reason why there is no set. The reason may quote a path that is
// not UTF-8, but strings of the protocol must be.
func (c *scoutSession) unavailable(v files.View) error {
	c.enter(phaseUnavailable)
	c.reason, c.scanned = v.Reason, v.Scanned
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Unavailable{
		Unavailable: &scoutv1.Unavailable{Reason: oneLine(v.Reason, maxReason), Scanned: uint64(v.Scanned)},
	}})
}

func (c *scoutSession) offer(set *files.Set) error {
	c.enter(phaseOffered)
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{
		Offer: &scoutv1.Offer{Count: uint64(set.Len()), Bytes: uint64(set.Index().Size())},
	}})
}

// obey does what the master has requested. A Resync comes before a Grant, because the
// Grant may be for the Offer that answers the Resync.
func (c *scoutSession) obey() {
	reason, resync, grant := c.asked.take()
	switch {
	case resync:
		c.scout.recorder().ResyncRequested()
		c.logResync(reason)
		c.enter(phaseUntold)
		if wait := c.spacing.next(); wait > 0 {
			c.offerDue = time.After(wait)
		}
	case grant && c.phase == phaseOffered: // otherwise its Offer was withdrawn
		c.enter(phaseAllowed)
	}
}

func (c *scoutSession) logResync(reason string) {
	if withheld, ok := c.scout.resyncs.Allow(); ok {
		c.log.Warn("resync requested", zap.String("reason", oneLine(reason, maxReason)), withheldField(withheld))
	}
}

// withheldField returns the field with the number of lines that were not written, if
// there are any.
func withheldField(n int) zap.Field {
	if n == 0 {
		return zap.Skip()
	}
	return zap.Int("withheld", n)
}

// complain logs that an Offer has waited for long.
func (c *scoutSession) complain() {
	c.log.Warn("waiting for the scoutmaster", zap.String("awaited", "grant"), zap.Float64("seconds", slowGrant.Seconds()))
}

// beat sends a Beat with the fingerprint that the master's copy must have. During a scan
// it also sends the progress.
func (c *scoutSession) beat() error {
	v := c.scout.Directory.View()
	if c.phase == phaseUnavailable && v.Set == nil && v.Scanned != c.scanned {
		if err := c.unavailable(v); err != nil {
			return err
		}
	}
	c.reported = conditionOf(v)
	beat := &scoutv1.Beat{
		Unreadable: c.reported.Unreadable, Polled: c.reported.Polled,
		PollMillis: uint64(c.reported.PollRound.Milliseconds()), Incomplete: c.reported.Incomplete,
	}
	if c.phase == phaseSynced {
		beat.Revision, beat.Count, beat.Digest = c.revision, uint64(c.sent.Len()), c.sent.Digest()
	}
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: beat}})
}

func conditionOf(v files.View) Condition {
	return Condition{
		Unreadable: uint64(v.Unreadable), Polled: uint64(v.Polled),
		PollRound: v.PollRound, Incomplete: oneLine(v.Incomplete, maxReason),
	}
}

// snapshot sends set as a snapshot.
func (c *scoutSession) snapshot(ctx context.Context, set *files.Set) error {
	started := time.Now()
	bytes, err := c.send(ctx, update{reset: true, delta: files.Delta{Removed: new(files.Set), Added: set}, set: set})
	if c.phase != phaseSynced {
		return err
	}
	took, revision := time.Since(started), c.revision
	c.scout.recorder().SnapshotSent(set.Len(), bytes, took)
	c.scout.snapshots.Do(func(withheld int) {
		c.log.Info("snapshot sent", zap.Int("files", set.Len()), zap.Int("bytes", bytes),
			zap.Float64("seconds", took.Seconds()), zap.Uint64("revision", revision), withheldField(withheld))
	})
	return err
}

// change sends the difference between the set of v and the set that the master shows.
// It says as much as a Beat, so the next Beat is due a heartbeat later.
func (c *scoutSession) change(ctx context.Context, v files.View) error {
	set := v.Set
	d := files.Diff(c.sent, set)
	if d.Empty() {
		c.scout.sent.note(update{delta: d, set: set})
		c.sent = set
		return nil
	}
	bytes, err := c.send(ctx, update{delta: d, set: set})
	if c.sent != set {
		return err
	}
	c.scout.recorder().ChangeSent(d.Added.Len(), d.Removed.Len(), bytes, c.age())
	if conditionOf(v) == c.reported {
		c.beats.Reset(c.heartbeat)
	}
	return err
}

// send sends the parts of u and returns the size of its names in bytes. It stops between
// two parts if the scout has to deregister or its directory becomes unavailable.
func (c *scoutSession) send(ctx context.Context, u update) (bytes int, err error) {
	u.revision = c.revision + 1
	for part := range u.parts() {
		if ctx.Err() != nil {
			return bytes, c.deregister()
		}
		if v := c.scout.Directory.View(); v.Set == nil {
			return bytes, c.unavailable(v)
		}
		if !part.GetMore() && !part.GetReset_() {
			part.Age = durationpb.New(c.age())
		}
		if !part.GetMore() {
			c.scout.sent.note(u) // it may arrive, even if say fails
		}
		bytes += len(part.GetRemoved()) + len(part.GetAdded())
		if err := c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Update{Update: part}}); err != nil {
			return bytes, err
		}
	}
	c.enter(phaseSynced)
	c.sent, c.revision = u.set, u.revision
	return bytes, nil
}

// age returns the time since the scout learned of the oldest change that was not sent
// yet.
func (c *scoutSession) age() time.Duration {
	if c.learned.IsZero() {
		return 0
	}
	return time.Since(c.learned)
}

// say sends msg. It blocks while the connection is full.
func (c *scoutSession) say(msg *scoutv1.SessionRequest) error {
	c.scout.pulse()
	err := c.stream.Send(msg)
	if errors.Is(err, io.EOF) {
		// The call has ended; receive gets the reason.
		<-c.ctx.Done()
		return context.Cause(c.ctx)
	}
	return err
}

// deregister ends the session and waits for the answer, for at most leaveGrace.
func (c *scoutSession) deregister() error {
	if err := c.stream.CloseSend(); err != nil {
		return err
	}
	<-c.ctx.Done()
	return context.Cause(c.ctx)
}

// receive is the only receiver. It returns when the call has ended.
func (c *scoutSession) receive() {
	for {
		msg, err := c.stream.Recv()
		if err != nil {
			c.end(lost(err))
			return
		}
		c.life.hear()
		c.take(msg)
	}
}

// take records a request of the master for run. It never blocks, so that the master is
// heard even while run cannot send.
func (c *scoutSession) take(msg *scoutv1.SessionResponse) {
	switch m := msg.GetMessage().(type) {
	case *scoutv1.SessionResponse_Probe:
		c.probes.Set()
	case *scoutv1.SessionResponse_Look:
		c.rescan.ask(m.Look.GetTicket())
	case *scoutv1.SessionResponse_Grant:
		c.asked.grant()
	case *scoutv1.SessionResponse_Resync:
		c.asked.resync(m.Resync.GetReason())
	}
}

// asked has the requests of the master that run has not handled yet: at most one Resync
// and a Grant after it, however many were received. A Resync cancels an earlier Grant.
type asked struct {
	ready wake.Signal // a request may be there

	mu      sync.Mutex
	reason  string // of the Resync
	again   bool   // a Resync has arrived
	granted bool   // a Grant has arrived, after the Resync if there is one
}

func (a *asked) grant() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted = true
	a.ready.Set()
}

func (a *asked) resync(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reason, a.again, a.granted = reason, true, false
	a.ready.Set()
}

// take returns the next request: a Resync, a Grant or nothing.
func (a *asked) take() (reason string, resync, grant bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.again {
		a.again = false
		if a.granted {
			a.ready.Set()
		}
		return a.reason, true, false
	}
	grant, a.granted = a.granted, false
	return "", false, grant
}
