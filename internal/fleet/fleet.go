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
	// answerSize is about how many bytes of names an answer has.
	answerSize = 512 << 10
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
	return &Fleet{conn: conn, address: rand.Text(), transfers: make(map[uint64]*transfer)}
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
		address, number := anyone, uint64(0)
		for {
			answer, err := f.askState(ctx, address, number)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, p := range answer.GetParts() {
				if !yield(p, nil) {
					return
				}
			}
			if address, number = answer.GetAddress(), answer.GetTransfer(); number == 0 {
				return
			}
		}
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

// Serve answers the other scoutmasters until ctx is done.
func (f *Fleet) Serve(ctx context.Context, r Registry) error {
	var serving sync.WaitGroup
	defer f.working.Wait()
	defer serving.Wait()
	defer f.endTransfers(func(*transfer) bool { return true })
	handle := func(ctx context.Context, request []byte) ([]byte, error) { return f.answer(ctx, r, request) }
	serving.Go(func() { f.serveReady(ctx, r, handle) })
	return f.conn.Serve(ctx, f.address, handle)
}

// serveReady gives the state to others while the scoutmaster is ready.
func (f *Fleet) serveReady(ctx context.Context, r Registry, handle jetstream.Handler) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for f.await(ctx, func() bool { return r.Ready() == nil }) {
		ready, end := context.WithCancel(ctx)
		serving.Go(func() { f.conn.Serve(ready, anyone, handle) }) //nolint:errcheck // the connection is closed, and ctx will be done
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
		f.endTransfers(func(t *transfer) bool { return time.Since(t.used) > transferIdle })
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
	batches chan []*scoutv1.StatePart // each for one answer
	stop    context.CancelFunc
	used    time.Time
}

// begin begins a transfer. The parts are made meanwhile: a large state takes longer
// than an answer may.
func (f *Fleet) begin(r Registry, form uint32) *transfer {
	ctx, stop := context.WithCancel(context.Background())
	t := &transfer{batches: make(chan []*scoutv1.StatePart, 1), stop: stop}
	f.working.Go(func() {
		defer close(t.batches)
		t.work(ctx, r.Parts(answerSize, form))
	})
	return t
}

// work makes the parts, until ctx is done.
func (t *transfer) work(ctx context.Context, parts iter.Seq[*scoutv1.StatePart]) {
	var batch []*scoutv1.StatePart
	size := 0
	send := func() bool {
		select {
		case t.batches <- batch:
			batch, size = nil, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	for p := range parts {
		batch = append(batch, p)
		if size += proto.Size(p); size >= answerSize && !send() {
			return
		}
	}
	if len(batch) > 0 {
		send()
	}
}

// nextParts puts the next parts of a transfer into an answer, if there are any yet.
// Transfer 0 begins one.
func (f *Fleet) nextParts(r Registry, ask *scoutv1.PeerState, answer *scoutv1.PeerAnswer) error {
	number := ask.GetTransfer()
	t := f.takeTransfer(number)
	if number == 0 {
		t, number = f.begin(r, ask.GetForm()), newNumber()
	}
	if t == nil {
		return errors.New("the transfer of the state has ended")
	}
	select {
	case batch, more := <-t.batches:
		if !more {
			t.stop()
			return nil
		}
		answer.Parts = batch
	case <-time.After(workTime):
	}
	answer.Transfer, answer.Address = number, f.address
	return f.keepTransfer(number, t)
}

func newNumber() uint64 {
	var p [8]byte
	rand.Read(p[:]) // never fails
	return max(1, binary.BigEndian.Uint64(p[:]))
}

// takeTransfer returns a transfer, which no other request gets meanwhile.
func (f *Fleet) takeTransfer(number uint64) *transfer {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.transfers[number]
	delete(f.transfers, number)
	return t
}

func (f *Fleet) keepTransfer(number uint64, t *transfer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.transfers) >= transfersMost {
		t.stop()
		return errors.New("too many scoutmasters take the state at once")
	}
	t.used = time.Now()
	f.transfers[number] = t
	return nil
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
