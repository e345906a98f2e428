package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Errors of Follow that mean that entries are missing for good: the follower
// has to take the state from elsewhere.
var (
	// ErrLost says that the ring does not have the next entry any more.
	ErrLost = errors.New("the log does not have the next entry any more")
	// ErrRewritten says that the log has other entries than those that were
	// delivered: it was made anew, or has gone back in time.
	ErrRewritten = errors.New("the log was made anew or has gone back in time")
)

const (
	// fillBatch is how many entries one request reads from the stream, and
	// fillBytes how many bytes.
	fillBatch = 1000
	fillBytes = 8 << 20
	// fillAgain is how many bytes are asked for when no answer comes at first: both
	// answers may come.
	fillAgain = 256 << 10
	// deliverMost is how many entries Follow delivers at once, and deliverBytes about
	// how many bytes.
	deliverMost  = 512
	deliverBytes = 1 << 20
	// remembered is how many delivered entries a follower remembers by their
	// hash, to tell an entry that came twice from one that was replaced.
	remembered = 1 << 13
)

// Append sends an entry. Entries of one Conn that all arrive are in the log in
// the order of the calls. It does not wait for the log: that Follow delivers the
// entry says that it is there. The servers acknowledge only one entry each
// acknowledgeEvery, so that it is logged why they do not take entries. To acknowledge
// all of them costs them and this program about as much again as to write them.
func (c *Conn) Append(entry []byte) error {
	var err error
	if _, ask := c.acknowledged.Allow(); ask {
		_, err = c.AppendAcknowledged(entry)
	} else {
		err = c.nats.Publish(c.log, entry)
	}
	if errors.Is(err, nats.ErrMaxPayload) { // which no later attempt helps
		c.handleUnwritten(nil, nil, err)
	}
	return err
}

// AppendAcknowledged is Append of an entry that the servers acknowledge. It waits
// while too many are not acknowledged.
func (c *Conn) AppendAcknowledged(entry []byte) (Pending, error) {
	ack, err := c.js.PublishMsgAsync(&nats.Msg{Subject: c.log, Data: entry},
		natsjs.WithRetryAttempts(0), natsjs.WithStallWait(requestTimeout))
	return Pending{ack}, err
}

// Pending is an entry on its way to the log.
type Pending struct{ ack natsjs.PubAckFuture }

// Wait returns the entry's sequence once it is in the log. After an error the
// entry may be in the log all the same, now or later.
func (p Pending) Wait(ctx context.Context) (sequence uint64, err error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case ack := <-p.ack.Ok():
		return ack.Sequence, nil
	case err := <-p.ack.Err():
		return 0, err
	}
}

// Entry is one entry of the log. Data is not the receiver's to keep beyond the
// call that hands it over.
type Entry struct {
	Sequence uint64
	Data     []byte
}

// Bounds are the first and the last sequence in the log. An empty log has
// First = Last + 1. Made identifies the log: when it was made, in nanoseconds since
// 1970.
type Bounds struct{ Made, First, Last uint64 }

// Bounds asks for the bounds of the log.
func (c *Conn) Bounds(ctx context.Context) (Bounds, error) {
	info, err := c.info(ctx)
	if err != nil {
		return Bounds{}, err
	}
	b := Bounds{madeAt(info), info.State.FirstSeq, info.State.LastSeq}
	if info.State.Msgs == 0 {
		b.First = b.Last + 1
	}
	return b, nil
}

func madeAt(info *natsjs.StreamInfo) uint64 { return uint64(info.Created.UnixNano()) }

// Replicas returns how many copies of the log there are to be, and how many of them
// are current: their servers run and have what the leader has.
func (c *Conn) Replicas(ctx context.Context) (wanted, current int, err error) {
	info, err := c.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	current = 1 // the leader has answered
	if info.Cluster != nil {
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
	}
	return info.Config.Replicas, current, nil
}

// info asks for the stream, which it makes again if the servers have lost it, and
// repairs if somebody has changed it.
func (c *Conn) info(ctx context.Context) (*natsjs.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	began := time.Now()
	stream, err := c.askForStream(ctx)
	c.noteAnswer(began, errors.Is(err, context.DeadlineExceeded))
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		stream, err = c.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	c.repair(ctx, stream.CachedInfo().Config)
	return stream.CachedInfo(), nil
}

// isolated is how long nobody may answer for the stream until another server is tried. It
// is longer than an election.
const isolated = 8 * time.Second

var errIsolated = errors.New("nobody there answers for the stream: another server is tried")

// noteAnswer notes whether a question that was asked then was left without an answer. A
// server that is cut off from the others keeps its connections, and knows no leader of
// the stream: the connection goes to another one.
func (c *Conn) noteAnswer(asked time.Time, missing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !missing || !c.nats.IsConnected():
		c.unanswered = time.Time{}
	case c.unanswered.IsZero():
		c.unanswered = asked
	case time.Since(c.unanswered) >= isolated && len(c.nats.Servers()) > 1:
		c.unanswered = time.Time{}
		c.warn("nats connection lost", errIsolated)
		c.reconnect()
	}
}

// askAgain is how long to wait for an answer until the same is asked once more. A leader
// that is elected later knows nothing of the question.
const askAgain = 500 * time.Millisecond

// askForStream asks again and again, and returns the first answer of a server that knows
// all entries.
func (c *Conn) askForStream(ctx context.Context) (stream natsjs.Stream, err error) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		stream natsjs.Stream
		err    error
	}
	answers := make(chan answer, 1)
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		asking.Go(func() {
			stream, err := c.js.Stream(ctx, c.streamName())
			if err == nil && !isOfLeader(stream.CachedInfo().Cluster) {
				return
			}
			select {
			case answers <- answer{stream, err}:
			case <-ctx.Done():
			}
		})
		select {
		case a := <-answers:
			return a.stream, a.err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-again.C:
		}
	}
}

// isOfLeader reports whether the server that leads the stream has answered, or the only
// one. A server that knows of no leader answers too, and may lack the last entries.
func isOfLeader(c *natsjs.ClusterInfo) bool {
	return c == nil || c.Leader != "" && !slices.ContainsFunc(c.Replicas, func(r *natsjs.PeerInfo) bool { return r.Name == c.Leader })
}

// Follow delivers each entry of the log that was made then, from the sequence from
// on, in order and as many at once as have come, until ctx is done or deliver
// returns an error, which it returns. While the servers do not answer it waits. It
// makes a log again that they have lost. Its other errors are ErrLost and
// ErrRewritten.
func (c *Conn) Follow(ctx context.Context, made, from uint64, deliver func([]Entry) error) error {
	f := &follower{conn: c, deliver: deliver, made: made, next: from, seed: maphash.MakeSeed(), hashes: map[uint64]uint64{}}
	for {
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrLost), errors.Is(err, ErrRewritten), f.failed:
			return err
		}
		if err := f.flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followRetry):
		}
	}
}

// followRetry is how long to wait before the stream is asked again.
const followRetry = 100 * time.Millisecond

// follower is one Follow.
type follower struct {
	conn    *Conn
	deliver func([]Entry) error
	failed  bool    // deliver returned an error
	next    uint64  // the sequence of the entry that has to come next
	batch   []Entry // those that have come and are not delivered yet
	bytes   int     // of the batch
	taken   atomic.Uint64

	made   uint64 // identifies the log
	seed   maphash.Seed
	hashes map[uint64]uint64 // of the last entries delivered, by sequence
}

// follow subscribes, reads what the subscription begins too late for, and
// delivers until something fails.
func (f *follower) follow(ctx context.Context) error {
	again := f.conn.reconnected.Wait()
	sub, err := f.conn.nats.SubscribeSync(f.conn.subject("followed"))
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	if err := sub.SetPendingLimits(-1, maxPending); err != nil {
		return err
	}
	if err := f.conn.nats.FlushTimeout(requestTimeout); err != nil {
		return err
	}
	if err := f.catchUp(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		f.watch(ctx, again)
		cancel()
	})
	defer watching.Wait()
	defer cancel()
	for {
		if pending, _, err := sub.Pending(); err != nil || pending == 0 {
			if err := f.flush(); err != nil {
				return err
			}
		}
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		f.taken.Add(1)
		if err := f.take(ctx, msg); err != nil {
			return err
		}
	}
}

// quietTime is how long nothing may come until the follower looks at the stream: one
// that was removed sends nothing.
const quietTime = 2 * time.Second

// watch waits until something may be missing: after a reconnect, and when nothing
// has come for quietTime.
func (f *follower) watch(ctx context.Context, reconnected <-chan struct{}) {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	for before := f.taken.Load(); ; {
		select {
		case <-ctx.Done():
			return
		case <-reconnected:
			return
		case <-tick.C:
		}
		taken := f.taken.Load()
		if taken == before {
			return
		}
		before = taken
	}
}

// take delivers a republished entry, and those before it that did not come.
func (f *follower) take(ctx context.Context, msg *nats.Msg) error {
	sequence, err := sequenceOf(msg)
	if err != nil {
		return nil //nolint:nilerr // a stranger's message on the subject
	}
	if sequence > f.next {
		if err := f.catchUp(ctx); err != nil {
			return err
		}
	}
	if sequence < f.next {
		return f.recognise(ctx, sequence, msg.Data)
	}
	if sequence > f.next {
		return errBehind
	}
	return f.hand(Entry{sequence, msg.Data})
}

// errBehind says that the server that answered does not have all entries yet.
var errBehind = errors.New("the server that answered is behind")

// recognise makes sure that an entry that was delivered before is the same. One
// that is not remembered proves nothing: the stream has to.
func (f *follower) recognise(ctx context.Context, sequence uint64, data []byte) error {
	hash, ok := f.hashes[sequence]
	if !ok {
		return f.catchUp(ctx)
	}
	if hash != maphash.Bytes(f.seed, data) {
		return ErrRewritten
	}
	return nil
}

// catchUp delivers all entries that the stream has, from the next one on.
func (f *follower) catchUp(ctx context.Context) error {
	info, err := f.conn.info(ctx)
	if err != nil {
		return err
	}
	switch {
	case madeAt(info) != f.made:
		return ErrRewritten
	case info.State.LastSeq+1 < f.next:
		return ErrRewritten
	case info.State.LastSeq >= f.next && info.State.FirstSeq > f.next:
		return ErrLost
	}
	for f.next <= info.State.LastSeq {
		if err := f.read(ctx, info.State.LastSeq); err != nil {
			return err
		}
	}
	return f.flush()
}

// read reads a batch of entries, up to the sequence last, from the stream.
func (f *follower) read(ctx context.Context, last uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inbox := f.conn.nats.NewInbox()
	sub, err := f.conn.nats.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	if err := sub.SetPendingLimits(-1, 2*fillBytes); err != nil {
		return err
	}
	for first := true; ; first = false {
		var msg *nats.Msg
		if first {
			msg, err = f.ask(ctx, sub, last)
		} else {
			msg, err = sub.NextMsgWithContext(ctx)
		}
		if err != nil {
			return err
		}
		switch msg.Header.Get("Status") {
		case "":
		case "204": // the end of the batch
			return nil
		case "404":
			return errBehind
		default:
			return fmt.Errorf("read the log: %s %s", msg.Header.Get("Status"), msg.Header.Get("Description"))
		}
		if err := f.fill(msg); err != nil {
			return err
		}
	}
}

// ask asks for a batch of entries, and returns the first message of the answer. Any
// server with a copy of the log is asked, also one that has just stopped: when nothing
// comes, others are asked for less, until one answers.
func (f *follower) ask(ctx context.Context, sub *nats.Subscription, last uint64) (*nats.Msg, error) {
	for bytes := fillBytes; ; bytes = fillAgain {
		request := fmt.Sprintf(`{"seq":%d,"batch":%d,"max_bytes":%d}`, f.next, min(fillBatch, last-f.next+1), bytes)
		if err := f.conn.nats.PublishRequest("$JS.API.DIRECT.GET."+f.conn.streamName(), sub.Subject, []byte(request)); err != nil {
			return nil, err
		}
		early, cancel := context.WithTimeout(ctx, askAgain)
		msg, err := sub.NextMsgWithContext(early)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return msg, err
		}
	}
}

// fill delivers an entry that was read from the stream.
func (f *follower) fill(msg *nats.Msg) error {
	sequence, err := sequenceOf(msg)
	switch {
	case err != nil:
		return err
	case sequence > f.next:
		return ErrLost
	case sequence < f.next:
		return nil
	}
	return f.hand(Entry{sequence, msg.Data})
}

// hand has an entry delivered, perhaps later and together with others.
func (f *follower) hand(e Entry) error {
	f.hashes[e.Sequence] = maphash.Bytes(f.seed, e.Data)
	if e.Sequence > remembered {
		delete(f.hashes, e.Sequence-remembered)
	}
	f.next++
	f.batch = append(f.batch, e)
	f.bytes += len(e.Data)
	if len(f.batch) < deliverMost && f.bytes < deliverBytes {
		return nil
	}
	return f.flush()
}

// flush delivers what has come.
func (f *follower) flush() error {
	if len(f.batch) == 0 {
		return nil
	}
	err := f.deliver(f.batch)
	clear(f.batch)
	f.batch, f.bytes, f.failed = f.batch[:0], 0, err != nil
	return err
}

func sequenceOf(msg *nats.Msg) (uint64, error) {
	return strconv.ParseUint(msg.Header.Get(natsjs.SequenceHeader), 10, 64)
}
