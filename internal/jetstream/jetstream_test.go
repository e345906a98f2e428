package jetstream_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"scout/internal/access/accesstest"
	"scout/internal/jetstream"
	"scout/internal/jetstream/natstest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	natstest.Cleanup()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const patience = time.Minute

func options(servers ...*natstest.Server) jetstream.Options {
	o := jetstream.Options{Fleet: "test", Name: "m", Bytes: 64 << 20, Log: zap.NewNop()}
	for _, s := range servers {
		o.URLs = append(o.URLs, s.URL())
	}
	return o
}

func open(t *testing.T, o jetstream.Options) *jetstream.Conn {
	t.Helper()
	c, err := jetstream.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// appendAll appends entries named prefix0 and so on, each again until it is
// known to be in the log.
func appendAll(t *testing.T, c *jetstream.Conn, prefix string, n int) {
	t.Helper()
	for i := range n {
		for began := time.Now(); ; {
			p, err := c.AppendAcknowledged(fmt.Appendf(nil, "%s%d", prefix, i))
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err = p.Wait(ctx)
				cancel()
			}
			if err == nil {
				break
			}
			if time.Since(began) > patience {
				t.Fatalf("append: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// tail follows the log and keeps what it was delivered.
type tail struct {
	t    *testing.T
	done chan error

	mu      sync.Mutex
	entries []string
	last    uint64
}

func follow(t *testing.T, c *jetstream.Conn, from uint64) *tail {
	t.Helper()
	log, err := c.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return followMade(t, c, log.Made, from)
}

// followMade is follow of the log that was made then.
func followMade(t *testing.T, c *jetstream.Conn, made, from uint64) *tail {
	t.Helper()
	f := &tail{t: t, done: make(chan error, 1), last: from - 1}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f.done <- c.Follow(ctx, made, from, f.take)
		close(f.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done // closed at the end
	})
	return f
}

func (f *tail) take(entries []jetstream.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range entries {
		if e.Sequence != f.last+1 {
			f.t.Errorf("entry %d was delivered after %d", e.Sequence, f.last)
		}
		f.last = e.Sequence
		f.entries = append(f.entries, string(e.Data))
	}
	return nil
}

func (f *tail) distinct() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range f.entries {
		seen[e] = true
	}
	return len(seen)
}

// await waits until so many different entries were delivered.
func (f *tail) await(n int) {
	f.t.Helper()
	for began := time.Now(); f.distinct() < n; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			f.t.Fatalf("%d different entries were delivered, want %d", f.distinct(), n)
		}
	}
}

func (f *tail) ends(want error) {
	f.t.Helper()
	select {
	case err := <-f.done:
		if !errors.Is(err, want) {
			f.t.Errorf("following ended with %v, want %v", err, want)
		}
	case <-time.After(patience):
		f.t.Errorf("following goes on, want %v", want)
	}
}

func TestFollowersSeeOneOrder(t *testing.T) {
	server := natstest.Start(t, 1)
	a, b := open(t, options(server...)), open(t, options(server...))
	early := follow(t, a, 1)
	appendAll(t, a, "before", 1500) // more than one batch of a late follower
	late := follow(t, b, 1)
	var both sync.WaitGroup
	for i, c := range []*jetstream.Conn{a, b} {
		both.Go(func() { appendAll(t, c, fmt.Sprintf("c%d-", i), 300) })
	}
	both.Wait()
	early.await(2100)
	late.await(2100)
	for i, e := range early.entries {
		if late.entries[i] != e {
			t.Fatalf("entry %d is %q for one follower and %q for another", i+1, e, late.entries[i])
		}
	}
}

func TestFollowFromTheMiddle(t *testing.T) {
	c := open(t, options(natstest.Start(t, 1)...))
	appendAll(t, c, "e", 10)
	f := follow(t, c, 8)
	f.await(3)
	if f.entries[0] != "e7" {
		t.Errorf("the first entry from 8 on is %q, want e7", f.entries[0])
	}
	if b, err := c.Bounds(t.Context()); err != nil || b.First != 1 || b.Last != 10 || b.Made == 0 {
		t.Errorf("bounds %v, %v", b, err)
	}
}

func TestRingOverrun(t *testing.T) {
	o := options(natstest.Start(t, 1)...)
	o.Bytes = 8 << 10
	c := open(t, o)
	appendAll(t, c, strings.Repeat("x", 500), 60)
	follow(t, c, 1).ends(jetstream.ErrLost)
}

// An entry that is appended while the stream's leader dies reaches every
// follower, and so do all before and after it.
func TestLeaderDies(t *testing.T) {
	servers := natstest.Start(t, 3)
	o := options(servers...)
	c := open(t, o)
	expectReplicas(t, c, 3)
	f := follow(t, c, 1)
	for round := range 2 {
		appendAll(t, c, fmt.Sprintf("calm%d-", round), 20)
		leader := servers[leaderOf(t, servers, "SCOUT_test")]
		leader.Kill()
		began := time.Now()
		appendAll(t, c, fmt.Sprintf("storm%d-", round), 20)
		t.Logf("appended again %s after the leader was killed", time.Since(began).Round(time.Millisecond))
		f.await(40 * (round + 1))
		expectReplicas(t, c, 2)
		leader.Start()
		expectReplicas(t, c, 3)
	}
}

// expectReplicas waits until so many of three copies of the log are current.
func expectReplicas(t *testing.T, c *jetstream.Conn, want int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		wanted, current, err := c.Replicas(t.Context())
		if err == nil && wanted == 3 && current == want {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%d of %d replicas are current (%v), want %d", current, wanted, err, want)
		}
	}
}

// leaderOf returns which server leads the stream.
func leaderOf(t *testing.T, servers []*natstest.Server, stream string) int {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		nc, err := nats.Connect(options(servers...).URLs[0] + "," + options(servers...).URLs[1])
		if err != nil {
			continue
		}
		js, err := natsjs.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), stream)
		nc.Close()
		if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
			continue
		}
		var i int
		if _, err := fmt.Sscanf(s.CachedInfo().Cluster.Leader, "n%d", &i); err != nil {
			t.Fatal(err)
		}
		return i
	}
	t.Fatal("the stream has no leader")
	return 0
}

// When the leader stops without a word, all hear of what comes after the election at
// about the same time, whatever server they were at.
func TestLeaderFreezes(t *testing.T) {
	servers := natstest.Start(t, 3)
	var tails []*tail
	for range 8 {
		tails = append(tails, follow(t, open(t, options(servers...)), 1))
	}
	c := open(t, options(servers...))
	expectReplicas(t, c, 3)
	leader := servers[leaderOf(t, servers, "SCOUT_test")]
	leader.Freeze()
	defer leader.Thaw()
	began := time.Now()
	appendAll(t, c, "entry ", 1)
	elected := time.Now()
	for _, f := range tails {
		f.await(1)
	}
	took := time.Since(elected)
	t.Logf("the log goes on after %s, and the last one %s later", elected.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond))
	if took > 2500*time.Millisecond { // one question that went to the frozen server costs a second
		t.Errorf("the last one goes on %s after the log", took)
	}
}

// Those whose server stops without a word go on at another one, sooner than an election
// takes.
func TestServerFreezes(t *testing.T) {
	servers := natstest.Start(t, 3)
	var conns []*jetstream.Conn // some of them have come to the server that will freeze
	var tails []*tail
	for range 8 {
		c := open(t, options(servers...))
		conns, tails = append(conns, c), append(tails, follow(t, c, 1))
	}
	expectReplicas(t, conns[0], 3)
	follower := servers[(leaderOf(t, servers, "SCOUT_test")+1)%3]
	follower.Freeze()
	defer follower.Thaw()
	began := time.Now()
	var writing sync.WaitGroup
	for i, c := range conns {
		writing.Go(func() { appendAll(t, c, fmt.Sprint("of ", i, ": "), 1) })
	}
	writing.Wait()
	for _, f := range tails {
		f.await(len(conns))
	}
	took := time.Since(began)
	t.Logf("all go on after %s", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("they go on after %s", took)
	}
}

// A server that lacks the last entries is alone. It answers questions about the log, because
// nobody leads it. The log has not gone back in time: it goes on when the others are back.
func TestServerIsBehindAndAlone(t *testing.T) {
	servers := natstest.Start(t, 3)
	c := open(t, options(servers...))
	appendAll(t, c, "before", 1)
	expectReplicas(t, c, 3)
	leader := leaderOf(t, servers, "SCOUT_test")
	first, second, behind := servers[leader], servers[(leader+1)%3], servers[(leader+2)%3]
	reader := open(t, options(behind))
	log, err := c.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	behind.Freeze()
	const entries = 60 // more than fits into the buffers of connections
	large := make([]byte, 500_000)
	if _, err := rand.Read(large); err != nil { // NATS would compress anything else
		t.Fatal(err)
	}
	appendAll(t, open(t, options(first, second)), string(large), entries)
	first.Kill()
	second.Kill()
	behind.Thaw()

	f := followMade(t, reader, log.Made, log.Last+entries+1)
	js, done := admin(t, behind)
	defer done()
	var alone *natsjs.StreamInfo
	for began := time.Now(); alone == nil; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("a server that is alone does not answer")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if s, err := js.Stream(ctx, "SCOUT_test"); err == nil {
			alone = s.CachedInfo()
		}
		cancel()
	}
	if alone.State.LastSeq >= log.Last+entries {
		t.Fatal("the server lacks nothing")
	}
	select {
	case err := <-f.done:
		t.Fatalf("following ended with %v", err)
	case <-time.After(2 * time.Second): // it asks more often
	}
	first.Start()
	second.Start()
	appendAll(t, c, "after", 1)
	f.await(1)
}

// A server that is cut off from those that have the log keeps its connections. The
// follower goes to another server, which here has another log.
func TestServerIsolated(t *testing.T) {
	servers, other := natstest.Start(t, 3), natstest.Start(t, 1)[0]
	other.Kill() // so that the follower is at the first one
	c := open(t, options(servers[0], other))
	appendAll(t, c, "e", 3)
	f := follow(t, c, 1)
	f.await(3)
	other.Start()
	servers[1].Kill()
	servers[2].Kill()
	f.ends(jetstream.ErrRewritten)
}

// A stream that was removed and made again is noticed, whether its sequences
// are lower than before or fit.
func TestStreamMadeAnew(t *testing.T) {
	for _, again := range []int{3, 20} {
		t.Run(fmt.Sprint(again), func(t *testing.T) {
			server := natstest.Start(t, 1)
			c := open(t, options(server...))
			f := follow(t, c, 1)
			appendAll(t, c, "old", 10)
			f.await(10)
			js, closeJS := admin(t, server[0])
			defer closeJS()
			if err := js.DeleteStream(t.Context(), "SCOUT_test"); err != nil {
				t.Fatal(err)
			}
			appendAll(t, open(t, options(server...)), "new", again)
			f.ends(jetstream.ErrRewritten)
		})
	}
}

// A stream that was removed is noticed and made again, even if nobody else does.
func TestStreamRemoved(t *testing.T) {
	server := natstest.Start(t, 1)
	c := open(t, options(server...))
	f := follow(t, c, 1)
	appendAll(t, c, "old", 10)
	f.await(10)
	js, closeJS := admin(t, server[0])
	defer closeJS()
	if err := js.DeleteStream(t.Context(), "SCOUT_test"); err != nil {
		t.Fatal(err)
	}
	f.ends(jetstream.ErrRewritten)
	if b, err := c.Bounds(t.Context()); err != nil || b.Last != 0 {
		t.Errorf("the log has bounds %+v, %v", b, err)
	}
}

// A server that lost its data has lost the stream.
func TestServerRestartedEmpty(t *testing.T) {
	server := natstest.Start(t, 1)
	c := open(t, options(server...))
	f := follow(t, c, 1)
	appendAll(t, c, "old", 10)
	f.await(10)
	server[0].Kill()
	server[0].Erase()
	server[0].Start()
	f.ends(jetstream.ErrRewritten)
}

// Somebody changes the settings of the stream so that entries do not come through it any
// more, while a scoutmaster follows it or before one starts. The stream gets them back,
// and keeps other changes.
func TestStreamChanged(t *testing.T) {
	server := natstest.Start(t, 1)
	js, closeJS := admin(t, server[0])
	defer closeJS()
	for name, change := range map[string]func(*natsjs.StreamConfig){
		"not republished":       func(c *natsjs.StreamConfig) { c.RePublish = nil },
		"republished elsewhere": func(c *natsjs.StreamConfig) { c.RePublish.Destination = "elsewhere" },
		"republished in part":   func(c *natsjs.StreamConfig) { c.RePublish.HeadersOnly = true },
		"other subjects":        func(c *natsjs.StreamConfig) { c.Subjects, c.RePublish = []string{"other"}, nil },
		"full":                  func(c *natsjs.StreamConfig) { c.Discard, c.MaxMsgs = natsjs.DiscardNew, 3 },
		"small messages":        func(c *natsjs.StreamConfig) { c.MaxMsgSize = 1 },
		"not read directly":     func(c *natsjs.StreamConfig) { c.AllowDirect = false },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(server...)
			o.Fleet = strings.ReplaceAll(name, " ", "-")
			c := open(t, o)
			appendAll(t, c, "before", 3)
			f := follow(t, c, 1)
			f.await(3)
			spoil := func() {
				t.Helper()
				stream, err := js.Stream(t.Context(), "SCOUT_"+o.Fleet)
				if err != nil {
					t.Fatal(err)
				}
				config := stream.CachedInfo().Config
				config.Description = "changed"
				change(&config)
				if _, err := js.UpdateStream(t.Context(), config); err != nil {
					t.Fatal(err)
				}
			}
			works := func() bool {
				stream, err := js.Stream(t.Context(), "SCOUT_"+o.Fleet)
				if err != nil {
					t.Fatal(err)
				}
				config := stream.CachedInfo().Config
				return config.RePublish != nil && config.RePublish.Destination == "scout."+o.Fleet+".followed" && !config.RePublish.HeadersOnly &&
					config.Discard == natsjs.DiscardOld && config.MaxMsgSize == -1 && config.AllowDirect && config.Description == "changed"
			}
			spoil()
			for began := time.Now(); !works(); time.Sleep(10 * time.Millisecond) {
				if time.Since(began) > patience {
					t.Fatal("the follower has not restored the settings")
				}
			}
			appendAll(t, c, "after", 3)
			f.await(6)
			if name == "other subjects" { // for one who starts it is another program's
				return
			}
			spoil()
			open(t, o)
			if !works() {
				t.Error("a scoutmaster that starts has not restored the settings")
			}
		})
	}
}

func admin(t *testing.T, s *natstest.Server) (natsjs.JetStream, func()) {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, nc.Close
}

func TestRequests(t *testing.T) {
	server := natstest.Start(t, 1)
	a, b := open(t, options(server...)), open(t, options(server...))
	if _, err := a.Request(t.Context(), "b", nil); !errors.Is(err, jetstream.ErrNoSuchScoutmaster) {
		t.Errorf("request to nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		err := b.Serve(ctx, "b", func(_ context.Context, request []byte) ([]byte, error) {
			if string(request) == "fail" {
				return nil, errors.New("as asked")
			}
			return append([]byte("re: "), request...), nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	var answer []byte
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		if answer, err = a.Request(t.Context(), "b", []byte("hello")); err == nil {
			break
		}
	}
	if string(answer) != "re: hello" || err != nil {
		t.Errorf("request: %q, %v", answer, err)
	}
	if _, err := a.Request(t.Context(), "b", []byte("fail")); err == nil || err.Error() != "as asked" {
		t.Errorf("request that fails: %v", err)
	}
	cancel()
	serving.Wait()
}

// The permissions in docs/nats-permissions.conf are all that a scoutmaster needs, and all of
// them are needed.
func TestPermissions(t *testing.T) {
	file, err := os.ReadFile("../../docs/nats-permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	server := natstest.Start(t, 1, string(file), "authorization { users: [ { user: u, password: p, permissions: $scoutmaster_permissions } ] }")
	o := options(server...)
	o.Fleet = "scout"
	o.URLs[0] = strings.Replace(o.URLs[0], "//", "//u:p@", 1)
	c := open(t, o)
	appendAll(t, c, "e", 10)
	f := follow(t, c, 1)
	f.await(10)
	o.Bytes *= 2
	again := open(t, o)
	if _, err := again.Request(t.Context(), "nobody", nil); !errors.Is(err, jetstream.ErrNoSuchScoutmaster) {
		t.Errorf("request to nobody: %v", err)
	}
}

// TLS with an authority of one's own, in both directions, and credentials as NATS has
// them.
func TestTLSAndCredentials(t *testing.T) {
	ours := accesstest.NewAuthority(t, "ours")
	server, client := ours.Issue("127.0.0.1"), ours.Issue("scoutmaster")
	operator := newOperator(t)
	lines := []string{
		fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", server.Cert, server.Key, ours.File),
		operator.lines,
	}
	s := natstest.Start(t, 1, lines...)[0]
	o := options(s)
	o.URLs[0] = strings.Replace(o.URLs[0], "nats://", "tls://", 1)
	o.CA, o.Certificate, o.Key, o.Credentials = ours.File, client.Cert, client.Key, operator.user
	c := open(t, o)
	appendAll(t, c, "e", 3)
	follow(t, c, 1).await(3)

	for name, test := range map[string]struct {
		change func(*jetstream.Options)
		want   string
	}{
		"another authority":    {func(o *jetstream.Options) { o.CA = accesstest.NewAuthority(t, "other").File }, "correct -nats-ca"},
		"no certificate":       {func(o *jetstream.Options) { o.Certificate, o.Key = "", "" }, "-nats-cert"},
		"another's credential": {func(o *jetstream.Options) { o.Credentials = newOperator(t).user }, "correct -nats-creds"},
		"no credentials":       {func(o *jetstream.Options) { o.Credentials = "" }, "correct -nats-creds"},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			test.change(&o)
			c, err := jetstream.Open(t.Context(), o)
			if err == nil {
				c.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: want one line with %q", err, test.want)
			}
		})
	}
}

// operator is whoever says which users a NATS server lets in.
type operator struct {
	lines string // of the server's configuration
	user  string // the file with a user's credentials
}

func newOperator(t *testing.T) operator {
	t.Helper()
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		k, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return k, public
	}
	root, rootID := pair(nkeys.CreateOperator)
	account, accountID := pair(nkeys.CreateAccount)
	_, systemID := pair(nkeys.CreateAccount)
	user, userID := pair(nkeys.CreateUser)
	unlimited := `"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1,` +
		`"mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1}`
	o := operator{user: filepath.Join(t.TempDir(), "scoutmaster.creds")}
	o.lines = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }",
		token(t, root, rootID, rootID, fmt.Sprintf(`{"type":"operator","version":2,"system_account":%q}`, systemID)), systemID,
		accountID, token(t, root, rootID, accountID, fmt.Sprintf(`{"type":"account","version":2,%s}`, unlimited)),
		systemID, token(t, root, rootID, systemID, `{"type":"account","version":2,"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}}`))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n",
		token(t, account, accountID, userID, `{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}`), seed)
	if err := os.WriteFile(o.user, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// token returns claims of NATS about a subject, signed by an issuer.
func token(t *testing.T, issuer nkeys.KeyPair, issuerID, subject, claims string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." +
		encode(fmt.Appendf(nil, `{"iat":%d,"iss":%q,"sub":%q,"name":"test","nats":%s}`, time.Now().Unix(), issuerID, subject, claims))
	signature, err := issuer.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// Whatever is wrong at the start is one line with the cause and the cure.
func TestOpenFails(t *testing.T) {
	plain := natstest.Start(t, 1)[0]
	locked := natstest.Start(t, 1, `authorization { user: u, password: p }`)[0]
	limited := natstest.Start(t, 1, `authorization { users: [ { user: u, password: p, permissions: { publish: "scout.>", subscribe: ">" } } ] }`)[0]
	small := natstest.Start(t, 1, `accounts { A { jetstream: { max_file: 8MB, max_mem: 8MB }, users: [ { user: u, password: p } ] } }, no_auth_user: u`)[0]
	narrow := natstest.Start(t, 1, `max_payload: 64KB`)[0]
	gone := natstest.Start(t, 1)[0]
	gone.Kill()
	js, closeJS := admin(t, plain)
	defer closeJS()
	for name, metadata := range map[string]map[string]string{"other": nil, "newer": {"scout.format": "2"}} {
		if _, err := js.CreateStream(t.Context(), natsjs.StreamConfig{
			Name: "SCOUT_" + name, Subjects: []string{"scout." + name + ".log"}, Metadata: metadata,
		}); err != nil {
			t.Fatal(err)
		}
	}
	with := func(s *natstest.Server, change func(*jetstream.Options)) jetstream.Options {
		o := options(s)
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, test := range map[string]struct {
		options jetstream.Options
		want    []string
	}{
		"no server":        {with(gone, nil), []string{"no server answers", "start nats-server -js"}},
		"wrong url":        {with(plain, func(o *jetstream.Options) { o.URLs = []string{"nats://"} }), []string{"correct -nats"}},
		"no credentials":   {with(locked, nil), []string{"Authorization", "-nats-creds"}},
		"no file":          {with(locked, func(o *jetstream.Options) { o.Credentials = "/nowhere" }), []string{"/nowhere", "correct -nats-creds"}},
		"no authorities":   {with(plain, func(o *jetstream.Options) { o.CA = "/nowhere" }), []string{"/nowhere", "correct -nats-ca"}},
		"no certificate":   {with(plain, func(o *jetstream.Options) { o.Certificate, o.Key = "/nowhere", "/nowhere" }), []string{"/nowhere", "-nats-cert"}},
		"no PEM":           {with(plain, func(o *jetstream.Options) { o.Certificate, o.Key = "jetstream_test.go", "jetstream_test.go" }), []string{"PEM", "-nats-cert"}},
		"mute servers":     {with(plain, func(o *jetstream.Options) { o.URLs = mute(t, 4) }), []string{"-nats"}},
		"no permission":    {with(limited, func(o *jetstream.Options) { o.URLs[0] = strings.Replace(o.URLs[0], "//", "//u:p@", 1) }), []string{"ermission", "nats-permissions.conf"}},
		"another's stream": {with(plain, func(o *jetstream.Options) { o.Fleet = "other" }), []string{"belongs to another program", "-fleet"}},
		"another version":  {with(plain, func(o *jetstream.Options) { o.Fleet = "newer" }), []string{"format 2", "-fleet"}},
		"too little room":  {with(small, func(o *jetstream.Options) { o.Bytes = 1 << 30 }), []string{"lower -log-bytes"}},
		"short messages":   {with(narrow, nil), []string{"65536 bytes", "raise max_payload"}},
		"too few servers":  {with(plain, func(o *jetstream.Options) { o.Replicas = 3 }), []string{"replicas", "-replicas"}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			c, err := jetstream.Open(t.Context(), test.options)
			if err == nil {
				c.Close()
				t.Fatal("opened")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the error came after %s", took)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: want it to contain %q", err, part)
				}
			}
			if strings.Contains(err.Error(), ":p@") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// TestLogsBeforeOpenFails opens a log that the servers do not permit, with a slow logger.
// What it logs comes before the error, which is the last line of a program.
func TestLogsBeforeOpenFails(t *testing.T) {
	server := natstest.Start(t, 1, `authorization { users: [ { user: u, password: p, permissions: { publish: "scout.>" } } ] }`)
	o := options(server...)
	o.URLs[0] = strings.Replace(o.URLs[0], "//", "//u:p@", 1)
	var lines atomic.Int32
	core, _ := observer.New(zapcore.WarnLevel)
	o.Log = zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		time.Sleep(100 * time.Millisecond)
		lines.Add(1)
		return nil
	}))
	c, err := jetstream.Open(t.Context(), o)
	if err == nil {
		c.Close()
		t.Fatal("opened")
	}
	if n := lines.Load(); n != 1 {
		t.Errorf("%d lines were logged before the error %v", n, err)
	}
}

// TestFaultsThatLast has credentials refused again and again, and appends entries that are
// too large. Each is logged once.
func TestFaultsThatLast(t *testing.T) {
	user := func(name string) string { return fmt.Sprintf("authorization { user: %s, password: p }", name) }
	server := natstest.Start(t, 1, user("u"))[0]
	o := options(server)
	o.URLs[0] = strings.Replace(o.URLs[0], "//", "//u:p@", 1)
	core, logs := observer.New(zapcore.WarnLevel)
	o.Log = zap.New(core)
	c := open(t, o)
	for range 5 {
		if err := c.Append(make([]byte, 2<<20)); !errors.Is(err, nats.ErrMaxPayload) {
			t.Errorf("a large entry: %v", err)
		}
	}
	if n := logs.FilterMessage("log entry not acknowledged").Len(); n != 1 {
		t.Errorf("%d lines about large entries", n)
	}
	if err := server.Reconfigure(user("other")); err != nil {
		t.Fatal(err)
	}
	for began, refused := time.Now(), 0; refused < 5; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(server.Log())
		if err != nil || time.Since(began) > patience {
			t.Fatalf("refused %d times, %v", refused, err)
		}
		refused = strings.Count(string(text), "authentication error")
	}
	if n := logs.FilterMessage("nats error").Len(); n != 1 {
		t.Errorf("%d lines about refused credentials", n)
	}
}

// mute returns the addresses of servers that accept connections and say nothing.
func mute(t *testing.T, n int) (urls []string) {
	t.Helper()
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		urls = append(urls, "nats://"+l.Addr().String())
	}
	return urls
}
