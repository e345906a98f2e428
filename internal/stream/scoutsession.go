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

// pulseEvery is how often a scout that has nothing to say shows that it works.
const pulseEvery = 5 * time.Second

// slowGrant is how long an Offer waits for its Grant before that is worth a line
// in the log.
const slowGrant = 10 * time.Second

// scoutPhase is what the master was told last of the directory. The package's
// documentation has the table of what each message does in each phase.
type scoutPhase int

const (
	phaseUntold      scoutPhase = iota // nothing, or nothing that counts after a Resync
	phaseUnavailable                   // there is no set, and why
	phaseOffered                       // a snapshot is on offer
	phaseAllowed                       // and was granted: it is next
	phaseSynced                        // the master shows a set
)

// scoutSession is the scout's end of one session. run is the only sender and
// owns what the master was told; receive only receives, so that the master is
// heard even while a message waits to get through.
type scoutSession struct {
	id        string
	heartbeat time.Duration
	deadline  time.Duration

	scout  *lasting
	target dial.Target
	turns  <-chan time.Time // it is time for a pulse
	log    *zap.Logger
	conn   *grpc.ClientConn
	stream scoutv1.ScoutmasterService_SessionClient
	ctx    context.Context         // done when the session has ended
	end    context.CancelCauseFunc // says why; the first reason counts
	life   liveness
	asked  asked
	probes wake.Signal // a Beat is wanted
	rescan rescan

	// What the master was told; run's alone.
	phase      scoutPhase
	sent       *files.Set       // what it shows, in phaseSynced
	reason     string           // in phaseUnavailable: why there is no set,
	scanned    int              // and how far a scan has come
	revision   uint64           // of the last update
	incomplete string           // what the last Beat said
	learned    time.Time        // when the oldest of what it may not know yet was learned; zero: just now
	spacing    spacing          // of the Offers that answer Resyncs
	offerDue   <-chan time.Time // an Offer has to wait for it; nil: it may go
	slow       *time.Timer      // in phaseOffered: complains of a Grant that does not come
}

// openSession registers a scout with a master, unless ctx is done first. It makes
// a new connection, so that gRPC's own back-off never adds to the scout's.
func openSession(ctx context.Context, target dial.Target, l *lasting) (*scoutSession, error) {
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
	// Not ctx itself: when that is done the scout has to say goodbye first.
	c.ctx, c.end = context.WithCancelCause(context.WithoutCancel(ctx))
	leaving := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	defer leaving()
	if err := c.register(l.Scout); err != nil {
		err = c.because(err)
		c.close()
		return nil, err
	}
	c.log = l.Log.With(zap.String("session", c.id))
	return c, nil
}

// register says Hello and waits for the Welcome.
func (c *scoutSession) register(s *Scout) error {
	stream, err := scoutv1.NewScoutmasterServiceClient(c.conn).Session(c.ctx)
	if err != nil {
		return err
	}
	c.stream = stream
	// A call that has ended already says why to Recv.
	if err := stream.Send(hello(s)); err != nil && !errors.Is(err, io.EOF) {
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

func hello(s *Scout) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Hello{Hello: &scoutv1.Hello{
		Host:      s.Origin.Host,
		Directory: []byte(s.Origin.Directory),
		Version:   oneLine(s.Version, maxVersion),
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
	return c.ctx.Err()
}

// because returns why the session ended: what happened first may be behind err.
func (c *scoutSession) because(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// close ends the session, if nothing else has. It does not wait for the
// connection: to say goodbye on one that is stuck takes grpc five seconds.
func (c *scoutSession) close() {
	c.end(nil)
	go c.conn.Close() //nolint:errcheck // it only ever says that it is closed
}

// run keeps the master told until the session ends, and says why it did. When
// ctx is done it deregisters.
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

// hurry sees to it that the session ends soon even if the master does not read
// or does not answer.
func (c *scoutSession) hurry() {
	time.AfterFunc(leaveGrace, func() { c.end(errors.New("deregistered without an answer")) })
}

// loop sends what the master does not know yet, then waits for something to
// happen, again and again. What changes while it sends goes out together next.
func (c *scoutSession) loop(ctx context.Context) error {
	beats := time.NewTicker(c.heartbeat)
	defer beats.Stop()
	turns := time.NewTicker(pulseEvery)
	defer turns.Stop()
	c.turns = turns.C
	c.slow = time.AfterFunc(slowGrant, c.complain)
	defer c.slow.Stop()
	c.slow.Stop() // until there is an Offer
	for {
		c.note()
		rescanned, v := c.rescan.ready(), c.scout.Directory.View()
		if err := c.tell(ctx, v); err != nil {
			return err
		}
		c.learned = time.Time{}
		if rescanned && c.phase == phaseSynced && v.Set == c.sent {
			if err := c.looked(v); err != nil {
				return err
			}
		}
		if err := c.wait(ctx, beats.C); err != nil {
			return err
		}
	}
}

// wait returns when there may be something to tell. It gives signs of life that
// are due meanwhile.
func (c *scoutSession) wait(ctx context.Context, beats <-chan time.Time) error {
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
	case <-beats:
		return c.beat()
	}
}

// note takes down when what is to be told was learned, unless wait has.
func (c *scoutSession) note() {
	if !c.learned.IsZero() {
		return
	}
	select {
	case c.learned = <-c.scout.Directory.Changed():
	default:
	}
}

// tell makes the master know v, or asks for leave to.
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
		return c.change(ctx, v.Set)
	}
	return nil
}

// enter changes the phase. What the master shows is known in phaseSynced only.
func (c *scoutSession) enter(p scoutPhase) {
	c.phase, c.sent = p, nil
	c.slow.Stop()
	if p == phaseOffered {
		c.slow.Reset(slowGrant)
	}
}

// looked answers the Look under way: the master was told all that it found. What
// the scout could not see goes before the answer.
func (c *scoutSession) looked(v files.View) error {
	if v.Incomplete != c.incomplete {
		if err := c.beat(); err != nil {
			return err
		}
	}
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Looked{
		Looked: &scoutv1.Looked{Ticket: c.rescan.finish()},
	}})
}

// unavailable says why there is no list. The reason may quote a path, and those
// are not always UTF-8, as the protocol's strings are.
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

// obey does what the master asks for. A Resync comes before a Grant: the Offer
// that answers it is said first, and may be what the Grant is for.
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
	case grant && c.phase == phaseOffered: // else it is for an Offer that was taken back
		c.enter(phaseAllowed)
	}
}

func (c *scoutSession) logResync(reason string) {
	if withheld, ok := c.scout.resyncs.Allow(); ok {
		c.log.Warn("resync requested", zap.String("reason", oneLine(reason, maxReason)), withheldField(withheld))
	}
}

// withheldField says how many lines were not written, if any.
func withheldField(n int) zap.Field {
	if n == 0 {
		return zap.Skip()
	}
	return zap.Int("withheld", n)
}

// complain says once that an Offer has waited for long.
func (c *scoutSession) complain() {
	c.log.Warn("waiting for the scoutmaster", zap.String("awaited", "grant"), zap.Float64("seconds", slowGrant.Seconds()))
}

// beat says that the scout is alive, what the master's copy must be, and, in
// passing, how far a scan has come.
func (c *scoutSession) beat() error {
	v := c.scout.Directory.View()
	if c.phase == phaseUnavailable && v.Set == nil && v.Scanned != c.scanned {
		if err := c.unavailable(v); err != nil {
			return err
		}
	}
	c.incomplete = v.Incomplete
	beat := &scoutv1.Beat{
		Unreadable: uint64(v.Unreadable), Polled: uint64(v.Polled),
		PollMillis: uint64(v.PollRound.Milliseconds()), Incomplete: oneLine(v.Incomplete, maxReason),
	}
	if c.phase == phaseSynced {
		beat.Revision, beat.Count, beat.Digest = c.revision, uint64(c.sent.Len()), c.sent.Digest()
	}
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: beat}})
}

// snapshot sends all of set.
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

// change sends how set differs from what the master shows.
func (c *scoutSession) change(ctx context.Context, set *files.Set) error {
	d := files.Diff(c.sent, set)
	if d.Empty() {
		c.sent = set
		return nil
	}
	bytes, err := c.send(ctx, update{delta: d, set: set})
	if c.sent == set {
		c.scout.recorder().ChangeSent(d.Added.Len(), d.Removed.Len(), bytes, c.age())
	}
	return err
}

// send sends u part by part and returns how many bytes its names took. It stops
// between two parts when the scout has to leave, or has to say that it does not
// know its files any more: a list that is half out is not worth finishing then.
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
		bytes += len(part.GetRemoved()) + len(part.GetAdded())
		if err := c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Update{Update: part}}); err != nil {
			return bytes, err
		}
	}
	c.enter(phaseSynced)
	c.sent, c.revision = u.set, u.revision
	return bytes, nil
}

// age is how long ago the oldest change was learned that the master is not
// told yet.
func (c *scoutSession) age() time.Duration {
	if c.learned.IsZero() {
		return 0
	}
	return time.Since(c.learned)
}

// say sends msg. It waits while the connection is full.
func (c *scoutSession) say(msg *scoutv1.SessionRequest) error {
	c.scout.pulse()
	err := c.stream.Send(msg)
	if errors.Is(err, io.EOF) {
		// The call has ended; receive is about to learn why.
		<-c.ctx.Done()
		return context.Cause(c.ctx)
	}
	return err
}

// deregister says goodbye and waits for the answer, within the grace.
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

// take keeps what the master asks for until run has time for it. It never
// waits, so that the master is heard even while run cannot send.
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

// asked is what the master wants and run has not come to: at most one Resync and
// one Grant behind it, however many were received. A Grant before a Resync counts
// no more.
type asked struct {
	ready wake.Signal // there may be something to do

	mu      sync.Mutex
	reason  string // of the Resync
	again   bool   // a Resync has come
	granted bool   // a Grant has come, after the Resync if there is one
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

// take returns what to do now: a Resync, a Grant or neither.
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
