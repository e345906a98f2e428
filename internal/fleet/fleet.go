// Package fleet lets scoutmasters share one list over NATS: it is the log of
// package master over that of package jetstream, and carries requests between
// scoutmasters. It knows neither what entries mean nor how NATS orders them.
package fleet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/jetstream"
	"scout/internal/master"
	scoutv1 "scout/proto/scout/v1"
)

const (
	// anyone is the name under which all scoutmasters that are ready answer.
	anyone = "ready"
	// answerSize is about how many bytes of names an answer has. NATS servers pass large
	// answers and entries of the log on in turn.
	answerSize = 256 << 10
	// askedAtOnce is how many answers of a transfer are on their way at once.
	askedAtOnce = 6
	// answerTime is how long a scoutmaster may take to answer, and workTime how long
	// it works at the next parts of a state until it answers that it still does.
	answerTime = 5 * time.Second
	workTime   = 2 * time.Second
	// transferIdle is how long a transfer waits for its next request.
	transferIdle = 15 * time.Second
	// transfersMost is how many scoutmasters may take the state at once.
	transfersMost = 8
	// lookAgain is how often a scoutmaster finds out whether it is ready.
	lookAgain = 100 * time.Millisecond
)

// Fleet is a connection to the other scoutmasters. It is a [master.Sequence] and
// [master.Peers].
type Fleet struct {
	conn    *jetstream.Conn
	address string
	parts   string // address of requests for the next parts of a state

	working sync.WaitGroup // at transfers

	mu        sync.Mutex
	transfers map[uint64]*transfer // by number
}

var (
	_ master.Sequence = (*Fleet)(nil)
	_ master.Peers    = (*Fleet)(nil)
)

// New returns the fleet behind a connection.
func New(conn *jetstream.Conn) *Fleet {
	return &Fleet{conn: conn, address: rand.Text(), parts: rand.Text(), transfers: make(map[uint64]*transfer)}
}

// Address is where requests of other scoutmasters reach this one.
func (f *Fleet) Address() string { return f.address }

// Append is part of [master.Sequence].
func (f *Fleet) Append(message []byte) error { return f.conn.Append(message) }

// Follow is part of [master.Sequence].
func (f *Fleet) Follow(ctx context.Context, made, from uint64, deliver func(position uint64, messages [][]byte) error) error {
	var messages [][]byte
	err := f.conn.Follow(ctx, made, from, func(entries []jetstream.Entry) error {
		messages = messages[:0]
		for _, e := range entries {
			messages = append(messages, e.Data)
		}
		defer clear(messages)
		return deliver(entries[0].Sequence, messages)
	})
	switch {
	case errors.Is(err, jetstream.ErrLost):
		return master.ErrGap
	case errors.Is(err, jetstream.ErrRewritten):
		return master.ErrRewritten
	}
	return err
}

// Bounds is part of [master.Sequence].
func (f *Fleet) Bounds(ctx context.Context) (master.Bounds, error) {
	b, err := f.conn.Bounds(ctx)
	return master.Bounds(b), err
}

// Probe is part of [master.Peers].
func (f *Fleet) Probe(ctx context.Context, address string, id master.SessionID) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := f.ask(ctx, address, &scoutv1.PeerRequest{Request: &scoutv1.PeerRequest_Probe{
		Probe: &scoutv1.PeerProbe{Instance: uint64(id.Instance), Session: id.Number},
	}})
	return err == nil && answer.GetAlive()
}

// Rescan is part of [master.Peers].
func (f *Fleet) Rescan(ctx context.Context, address string, i master.Instance, sessions []uint64) (master.Rescanned, error) {
	ask := &scoutv1.PeerRescan{Instance: uint64(i), Sessions: sessions}
	if end, ok := ctx.Deadline(); ok {
		ask.Wait = durationpb.New(time.Until(end) * 9 / 10) // the answer has to come in time, whatever it says
	}
	answer, err := f.ask(ctx, address, &scoutv1.PeerRequest{Request: &scoutv1.PeerRequest_Rescan{Rescan: ask}})
	if err != nil {
		return master.Rescanned{}, err
	}
	done := answer.GetRescanned()
	r := master.Rescanned{Epoch: done.GetEpoch(), Position: done.GetPosition(), Unconfirmed: make(map[uint64]string)}
	for _, u := range done.GetUnconfirmed() {
		r.Unconfirmed[u.GetSession()] = u.GetReason()
	}
	return r, nil
}

// State is part of [master.Peers].
func (f *Fleet) State(ctx context.Context) iter.Seq2[*scoutv1.StatePart, error] {
	return func(yield func(*scoutv1.StatePart, error) bool) {
		answer, err := f.askState(ctx, anyone, 0)
		for err == nil {
			for _, p := range answer.GetParts() {
				if !yield(p, nil) {
					return
				}
			}
			switch {
			case answer.GetTransfer() == 0:
				return
			case answer.GetAtOnce() > 1:
				f.askAtOnce(ctx, answer, yield)
				return
			}
			answer, err = f.askState(ctx, answer.GetAddress(), answer.GetTransfer())
		}
		yield(nil, err)
	}
}

// askAtOnce yields the parts of a transfer after the first answer. The next answers are
// on their way while those before are worked at.
func (f *Fleet) askAtOnce(ctx context.Context, first *scoutv1.PeerAnswer, yield func(*scoutv1.StatePart, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	results := make(chan answered)
	for range min(askedAtOnce, first.GetAtOnce()) {
		asking.Go(func() { f.askOn(ctx, first, results) })
	}
	go func() {
		asking.Wait()
		close(results)
	}()
	early := make(map[uint64][]*scoutv1.StatePart) // of answers that came before their turn
	next, end := first.GetNumber(), uint64(math.MaxUint64)
	if len(first.GetParts()) > 0 {
		next++
	}
	for next < end {
		answer, more := <-results
		if !more && answer.err == nil {
			answer.err = errMissing
		}
		number := answer.GetNumber()
		switch {
		case answer.err != nil:
		case answer.GetTransfer() == 0:
			end = number
		case len(answer.GetParts()) == 0: // there are none yet
		case number < next || early[number] != nil || len(early) >= earlyMost:
			answer.err = errMissing
		default:
			early[number] = answer.GetParts()
		}
		if answer.err != nil {
			yield(nil, answer.err)
			return
		}
		for ; early[next] != nil; next++ {
			for _, p := range early[next] {
				if !yield(p, nil) {
					return
				}
			}
			delete(early, next)
		}
	}
}

// earlyMost is how many answers may come before one that comes before them.
const earlyMost = 256

var errMissing = errors.New("answers of another scoutmaster are missing, or came twice")

// answered is an answer, or why there is none.
type answered struct {
	*scoutv1.PeerAnswer
	err error
}

// askOn asks for the next parts of a transfer until there are no more.
func (f *Fleet) askOn(ctx context.Context, first *scoutv1.PeerAnswer, results chan<- answered) {
	for more := true; more; {
		answer, err := f.askState(ctx, first.GetAddress(), first.GetTransfer())
		select {
		case results <- answered{answer, err}:
		case <-ctx.Done():
			return
		}
		more = err == nil && answer.GetTransfer() != 0
	}
}

func (f *Fleet) askState(ctx context.Context, address string, number uint64) (*scoutv1.PeerAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return f.ask(ctx, address, &scoutv1.PeerRequest{Request: &scoutv1.PeerRequest_State{
		State: &scoutv1.PeerState{Transfer: number, Form: master.FormRead},
	}})
}

func (f *Fleet) ask(ctx context.Context, address string, request *scoutv1.PeerRequest) (*scoutv1.PeerAnswer, error) {
	message, err := proto.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("ask another scoutmaster: %w", err)
	}
	data, err := f.conn.Request(ctx, address, message)
	if err != nil {
		return nil, fmt.Errorf("ask another scoutmaster: %w", err)
	}
	answer := new(scoutv1.PeerAnswer)
	if err := proto.Unmarshal(data, answer); err != nil {
		return nil, fmt.Errorf("the answer of another scoutmaster: %w", err)
	}
	return answer, nil
}

// Registry is what the other scoutmasters may ask.
type Registry interface {
	// Ready returns nil if the state may be given to others.
	Ready() error
	// Parts yields the state in a form that the asker reads.
	Parts(limit int, form uint32) iter.Seq[*scoutv1.StatePart]
	// Probe asks a session for a sign of life.
	Probe(ctx context.Context, id master.SessionID) bool
	// Rescan has scouts rescan their disks.
	Rescan(ctx context.Context, i master.Instance, sessions []uint64) master.Rescanned
}

// Serve answers the other scoutmasters until ctx is done. States have a connection of
// their own, because on this one entries of the log would wait behind them: for a tenth
// of a second at 100 Mbit/s.
func (f *Fleet) Serve(ctx context.Context, r Registry) error {
	states, err := f.conn.Another()
	if err != nil {
		return err
	}
	defer states.Close()
	var serving sync.WaitGroup
	defer f.working.Wait()
	defer serving.Wait()
	defer f.endTransfers(func(*transfer) bool { return true })
	handle := func(ctx context.Context, request []byte) ([]byte, error) { return f.answer(ctx, r, request) }
	serving.Go(func() { f.serveReady(ctx, r, states, handle) })
	serving.Go(func() { states.Serve(ctx, f.parts, handle) }) //nolint:errcheck // the connection is closed, and ctx will be done
	return f.conn.Serve(ctx, f.address, handle)
}

// serveReady gives the state to others while the scoutmaster is ready.
func (f *Fleet) serveReady(ctx context.Context, r Registry, states *jetstream.Conn, handle jetstream.Handler) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for f.await(ctx, func() bool { return r.Ready() == nil }) {
		ready, end := context.WithCancel(ctx)
		serving.Go(func() { states.Serve(ready, anyone, handle) }) //nolint:errcheck // as above
		f.await(ctx, func() bool { return r.Ready() != nil })
		end()
	}
}

// await waits until something is true. It is false if ctx was done first.
// Meanwhile it ends the transfers that nobody goes on with.
func (f *Fleet) await(ctx context.Context, is func() bool) bool {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for !is() {
		f.endTransfers(func(t *transfer) bool { return t.answering == 0 && time.Since(t.used) > transferIdle })
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

func (f *Fleet) answer(ctx context.Context, r Registry, data []byte) ([]byte, error) {
	var request scoutv1.PeerRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	answer := new(scoutv1.PeerAnswer)
	switch ask := request.GetRequest().(type) {
	case *scoutv1.PeerRequest_Probe:
		id := master.SessionID{Instance: master.Instance(ask.Probe.GetInstance()), Number: ask.Probe.GetSession()}
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		answer.Alive = r.Probe(ctx, id)
	case *scoutv1.PeerRequest_Rescan:
		answer.Rescanned = rescan(ctx, r, ask.Rescan)
	case *scoutv1.PeerRequest_State:
		if err := f.nextParts(r, ask.State, answer); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("the request is of a kind that this version does not know")
	}
	return proto.Marshal(answer)
}

// longestRescan is the longest that scouts may take for another scoutmaster.
const longestRescan = time.Minute

func rescan(ctx context.Context, r Registry, ask *scoutv1.PeerRescan) *scoutv1.PeerRescanned {
	wait := longestRescan
	if w := ask.GetWait(); w != nil {
		wait = min(wait, w.AsDuration())
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	done := r.Rescan(ctx, master.Instance(ask.GetInstance()), ask.GetSessions())
	answer := &scoutv1.PeerRescanned{Epoch: done.Epoch, Position: done.Position}
	for session, reason := range done.Unconfirmed {
		answer.Unconfirmed = append(answer.Unconfirmed, &scoutv1.PeerUnconfirmed{Session: session, Reason: reason})
	}
	return answer
}

// transfer is a state that another scoutmaster takes, part by part.
type transfer struct {
	batches chan batch // closed after the last one
	count   uint64     // of batches, and whether these are all, once batches is closed
	all     bool
	stop    context.CancelFunc

	// Guarded by the mu of the Fleet:
	answering int // requests
	used      time.Time
	ended     bool // the asker has all answers, or they are on their way
}

// batch is the parts in one answer.
type batch struct {
	number uint64 // how many come before
	parts  []*scoutv1.StatePart
}

// work makes the parts, until ctx is done.
func (t *transfer) work(ctx context.Context, parts iter.Seq[*scoutv1.StatePart]) {
	defer close(t.batches)
	var next batch
	size := 0
	send := func() bool {
		select {
		case t.batches <- next:
			t.count++
			next, size = batch{number: t.count}, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	for p := range parts {
		next.parts = append(next.parts, p)
		if size += proto.Size(p); size >= answerSize && !send() {
			return
		}
	}
	t.all = len(next.parts) == 0 || send()
}

// nextParts puts the next parts of a transfer into an answer, if there are any yet.
// Transfer 0 begins one.
func (f *Fleet) nextParts(r Registry, ask *scoutv1.PeerState, answer *scoutv1.PeerAnswer) error {
	number, t := ask.GetTransfer(), (*transfer)(nil)
	if number == 0 {
		number, t = f.begin(r, ask.GetForm())
	} else {
		t = f.find(number)
	}
	if t == nil {
		return errNoTransfer
	}
	ended := false
	defer func() { f.release(t, ended) }()
	answer.AtOnce = askedAtOnce
	select {
	case b, more := <-t.batches:
		if !more {
			if !t.all {
				return errNoTransfer
			}
			ended, answer.Number = true, t.count
			return nil
		}
		answer.Number, answer.Parts = b.number, b.parts
	case <-time.After(workTime):
	}
	answer.Transfer, answer.Address = number, f.parts
	return nil
}

var errNoTransfer = errors.New("the transfer of the state has ended, or too many scoutmasters take the state at once")

// begin begins a transfer, unless there are too many. The parts are made meanwhile: a
// large state takes longer than an answer may.
func (f *Fleet) begin(r Registry, form uint32) (number uint64, t *transfer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	live := 0
	for _, t := range f.transfers {
		if !t.ended {
			live++
		}
	}
	if live >= transfersMost {
		return 0, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	t = &transfer{batches: make(chan batch, 1), stop: stop, answering: 1}
	f.working.Go(func() { t.work(ctx, r.Parts(answerSize, form)) })
	number = newNumber()
	f.transfers[number] = t
	return number, t
}

func newNumber() uint64 {
	var p [8]byte
	rand.Read(p[:]) // never fails
	return max(1, binary.BigEndian.Uint64(p[:]))
}

// find returns a transfer, or nil. The caller has to release it.
func (f *Fleet) find(number uint64) *transfer {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.transfers[number]
	if t != nil {
		t.answering++
	}
	return t
}

func (f *Fleet) release(t *transfer, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.answering--
	t.used = time.Now()
	t.ended = t.ended || ended
}

// endTransfers ends the transfers that are over.
func (f *Fleet) endTransfers(over func(*transfer) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for number, t := range f.transfers {
		if over(t) {
			t.stop()
			delete(f.transfers, number)
		}
	}
}
