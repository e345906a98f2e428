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

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// leaveGrace is how long a scout that deregisters waits for the answer.
const leaveGrace = 500 * time.Millisecond

// pulseEvery is how often a scout that has nothing to say shows that it works.
const pulseEvery = 5 * time.Second

// scoutSession is the scout's end of one session. run is the only sender and
// owns what the master was told; receive only receives, so that the master is
// heard even while a message waits to get through.
type scoutSession struct {
	id        string
	heartbeat time.Duration
	deadline  time.Duration

	source   Directory
	recorder ScoutRecorder
	pulse    func()           // see Scout
	turns    <-chan time.Time // it is time for one
	log      *zap.Logger
	conn     *grpc.ClientConn
	stream   scoutv1.ScoutmasterService_SessionClient
	ctx      context.Context         // done when the session has ended
	end      context.CancelCauseFunc // says why; the first reason counts
	life     life
	inbox    chan *scoutv1.SessionResponse // Grants and Resyncs
	probes   chan struct{}                 // of one: a Beat is wanted
	look     lookout

	// What the master was told; run's alone.
	sent     *files.Set // what it shows of this scout; nil: nothing
	revision uint64     // of the last update
	offered  bool       // since sent became nil an Offer was made
	granted  bool       // and a Grant has come
	learned  time.Time  // when the oldest of what it may not know yet was learned; zero: just now
	hidden   bool       // it knows that there is no set, and why:
	reason   string
	scanned  int
}

// openSession registers s over conn, which is the session's from here on.
func openSession(ctx context.Context, conn *grpc.ClientConn, s *Scout, clock *awake) (*scoutSession, error) {
	c := &scoutSession{
		source:   s.Directory,
		recorder: s.recorder(),
		pulse:    s.pulse,
		conn:     conn,
		life:     life{clock: clock},
		inbox:    make(chan *scoutv1.SessionResponse, inboxSize),
		probes:   make(chan struct{}, 1),
		look:     newLookout(),
	}
	// Not ctx itself: when that is done the scout has to say goodbye first.
	c.ctx, c.end = context.WithCancelCause(context.WithoutCancel(ctx))
	bound := time.AfterFunc(registerBound, func() { c.end(errNoAnswer) })
	defer bound.Stop()
	leaving := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	defer leaving()
	if err := c.register(s); err != nil {
		err = c.because(err)
		c.close()
		return nil, err
	}
	c.log = s.Log.With(zap.String("session", c.id))
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
	if c.heartbeat <= 0 || c.deadline <= c.heartbeat {
		return errNoWelcome
	}
	return c.ctx.Err()
}

// because is why the session ended, when what happened first is behind err.
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
	for {
		c.note()
		looked, v := c.look.ready(), c.source.View()
		if err := c.tell(ctx, v); err != nil {
			return err
		}
		c.learned = time.Time{}
		if looked && v.Set != nil && v.Set == c.sent {
			if err := c.looked(); err != nil {
				return err
			}
		}
		if err := c.wait(ctx, beats.C); err != nil {
			return err
		}
	}
}

// wait returns when there may be something to tell. Signs of life that are due
// meanwhile it gives itself.
func (c *scoutSession) wait(ctx context.Context, beats <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return c.deregister()
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case c.learned = <-c.source.Changed():
		return nil
	case msg := <-c.inbox:
		c.handle(msg)
		return nil
	case <-c.look.waiting():
		c.look.begin(c.source)
		return nil
	case <-c.look.done:
		c.look.done = nil
		return nil
	case <-c.turns:
		c.pulse()
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
	case c.learned = <-c.source.Changed():
	default:
	}
}

// tell makes the master know v, or asks for leave to.
func (c *scoutSession) tell(ctx context.Context, v files.View) error {
	switch {
	case v.Set == nil && (!c.hidden || v.Reason != c.reason):
		return c.unavailable(v)
	case v.Set == nil || v.Set == c.sent:
		return nil
	case c.sent != nil:
		return c.change(ctx, v.Set)
	case c.granted:
		return c.snapshot(ctx, v.Set)
	case !c.offered:
		return c.offer(v.Set)
	}
	return nil
}

// looked answers the Look under way: the master was told all that it found.
func (c *scoutSession) looked() error {
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Looked{
		Looked: &scoutv1.Looked{Ticket: c.look.answered()},
	}})
}

// unavailable says why there is no list. The reason may quote a path, and those
// are not always UTF-8, as the protocol's strings are.
func (c *scoutSession) unavailable(v files.View) error {
	c.forget()
	c.hidden, c.reason, c.scanned = true, v.Reason, v.Scanned
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Unavailable{
		Unavailable: &scoutv1.Unavailable{Reason: oneLine(v.Reason, maxReason), Scanned: uint64(v.Scanned)},
	}})
}

func (c *scoutSession) offer(set *files.Set) error {
	c.offered, c.hidden = true, false
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{
		Offer: &scoutv1.Offer{Count: uint64(set.Len()), Bytes: uint64(set.Index().Size())},
	}})
}

// handle notes what the master asks for.
func (c *scoutSession) handle(msg *scoutv1.SessionResponse) {
	switch msg := msg.GetMessage().(type) {
	case *scoutv1.SessionResponse_Grant:
		c.granted = c.offered // else it answers an Offer that was taken back
	case *scoutv1.SessionResponse_Resync:
		c.recorder.ResyncRequested()
		c.log.Warn("resync requested", zap.String("reason", oneLine(msg.Resync.GetReason(), maxReason)))
		c.forget()
	}
}

// forget is for when the master shows nothing of this scout any more.
func (c *scoutSession) forget() {
	c.sent, c.offered, c.granted = nil, false, false
}

// beat says that the scout is alive, what the master's copy must be, and, in
// passing, how far a scan has come.
func (c *scoutSession) beat() error {
	v := c.source.View()
	if c.hidden && v.Set == nil && v.Scanned != c.scanned {
		if err := c.unavailable(v); err != nil {
			return err
		}
	}
	beat := &scoutv1.Beat{Unreadable: uint64(v.Unreadable), Polled: uint64(v.Polled)}
	if c.sent != nil {
		beat.Revision, beat.Count, beat.Digest = c.revision, uint64(c.sent.Len()), c.sent.Digest()
	}
	return c.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: beat}})
}

// snapshot sends all of set.
func (c *scoutSession) snapshot(ctx context.Context, set *files.Set) error {
	started := time.Now()
	bytes, err := c.send(ctx, update{reset: true, delta: files.Delta{Removed: new(files.Set), Added: set}, set: set})
	if c.sent == set {
		c.recorder.SnapshotSent(set.Len(), bytes, time.Since(started))
		c.log.Info("snapshot sent", zap.Int("files", set.Len()), zap.Int("bytes", bytes),
			zap.Float64("seconds", time.Since(started).Seconds()), zap.Uint64("revision", c.revision))
	}
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
		c.recorder.ChangeSent(d.Added.Len(), d.Removed.Len(), bytes, c.age())
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
		if v := c.source.View(); v.Set == nil {
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
	c.pulse()
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
		select {
		case c.probes <- struct{}{}:
		default: // one answer will do for both
		}
	case *scoutv1.SessionResponse_Look:
		c.look.ask(m.Look.GetTicket())
	case *scoutv1.SessionResponse_Grant, *scoutv1.SessionResponse_Resync:
		select {
		case c.inbox <- msg:
		default:
			c.end(errFlooded)
		}
	}
}
