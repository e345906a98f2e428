package jetstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"scout/internal/throttle"
	"scout/internal/wake"
)

const (
	// format is the version of the layout of the stream and of its entries'
	// envelope. A stream of another format belongs to an incompatible version.
	format    = "1"
	formatKey = "scout.format" // in the stream's metadata

	replicated = 3 // copies of the log that survive the loss of one server

	// connectTimeout bounds Open, for the caller's line within 10 s.
	connectTimeout = 8 * time.Second
	// dialTimeout bounds the attempts to connect to all servers, one after the other.
	dialTimeout = 6 * time.Second
	// requestTimeout bounds one request to JetStream.
	requestTimeout = 3 * time.Second
	// maxPending bounds the bytes that wait for the follower. An overflow is a
	// gap, which the follower fills from the stream.
	maxPending = 32 << 20
	// maxUnacknowledged bounds the entries whose acknowledgements have not come, and
	// ackTimeout how long each is waited for.
	maxUnacknowledged = 1 << 12
	ackTimeout        = 10 * time.Second
	// acknowledgeEvery is how often an entry is acknowledged.
	acknowledgeEvery = time.Second
	// faultLines is how often a fault that lasts is logged.
	faultLines = 10 * time.Second
	// leastPayload is what the servers have to let through in one message. An answer with
	// parts of a state is the largest.
	leastPayload = 768 << 10
)

// Options say which log to use, and how to reach it.
type Options struct {
	URLs  []string // of NATS servers
	Fleet string   // names the log: letters, digits, '-' and '_'
	Name  string   // of this scoutmaster, for the NATS servers' own logs
	Bytes int64    // size of the ring
	// Replicas is how many copies of the log there are; 0: 3 where there are
	// that many NATS servers, else 1.
	Replicas int
	// Files that prove who this is, as NATS has them. Each may be empty.
	Credentials, CA, Certificate, Key string
	Log                               *zap.Logger
}

// Conn is a connection to the log of a fleet. Any goroutine may use it.
type Conn struct {
	options Options
	nats    *nats.Conn
	js      natsjs.JetStream
	log     string // the subject of entries

	// reconnected wakes after each reconnect and each time entries were dropped.
	reconnected wake.Broadcast
	closing     atomic.Bool

	acknowledged throttle.Limiter // of entries that are
	unwritten    throttle.Limiter // of log lines
	repaired     throttle.Limiter // likewise
	faults       *throttle.Keyed[string]

	giveUp func() // ends Open

	mu         sync.Mutex
	refused    error     // the last permission that the servers refused
	unanswered time.Time // since when nobody has answered for the stream; zero: somebody has
	another    *Conn     // what Another returned last
}

// Open connects to the NATS servers and makes sure that the log exists. Its
// error, within 10 s, is one line with the cause and the cure.
func Open(ctx context.Context, o Options) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c := &Conn{
		options: o, giveUp: cancel,
		acknowledged: throttle.Limiter{Interval: acknowledgeEvery}, unwritten: throttle.Limiter{Interval: faultLines},
		repaired: throttle.Limiter{Interval: faultLines},
		faults:   &throttle.Keyed[string]{Interval: faultLines, Each: 1, Most: 5},
	}
	c.log = c.subject("log")
	var err error
	if c.nats, err = nats.Connect(strings.Join(o.URLs, ","), c.settings()...); err != nil {
		return nil, c.explain(err)
	}
	if most := c.nats.MaxPayload(); most < leastPayload {
		c.Close()
		return nil, fmt.Errorf("nats at %s: a message may have %d bytes there, and a scoutmaster needs %d: raise max_payload of the NATS servers, 1MB unless it is set", c.servers(), most, leastPayload)
	}
	c.js, err = natsjs.New(c.nats, natsjs.WithPublishAsyncMaxPending(maxUnacknowledged),
		natsjs.WithPublishAsyncTimeout(ackTimeout), natsjs.WithPublishAsyncErrHandler(c.handleUnwritten))
	if err == nil {
		err = c.prepare(ctx)
	}
	if err != nil {
		c.Close()
		return nil, c.explain(err)
	}
	return c, nil
}

// Another returns another connection to the same servers, for requests alone: entries of
// c do not wait behind large answers there. It goes on connecting in the background while
// the servers cannot be reached.
func (c *Conn) Another() (*Conn, error) {
	a := &Conn{options: c.options, giveUp: func() {}, faults: c.faults}
	settings := append(a.settings(), nats.RetryOnFailedConnect(true), nats.DisconnectErrHandler(nil)) // c logs the loss
	var err error
	if a.nats, err = nats.Connect(strings.Join(a.options.URLs, ","), settings...); err != nil {
		return nil, a.explain(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.another = a
	return a, nil
}

// reconnect goes to other servers. The caller holds mu.
func (c *Conn) reconnect() {
	c.nats.ForceReconnect() //nolint:errcheck // it is closed
	if c.another != nil {
		c.another.nats.ForceReconnect() //nolint:errcheck // likewise
	}
}

// Close ends the connection.
func (c *Conn) Close() {
	c.closing.Store(true)
	c.nats.Close()
}

// warn logs a fault that may come again and again, as while credentials are refused.
func (c *Conn) warn(msg string, err error) {
	if withheld, ok := c.faults.Allow(msg + err.Error()); ok {
		c.options.Log.Warn(msg, zap.Error(err), zap.Int("withheld", withheld))
	}
}

// handleUnwritten logs that an entry may not be in the log.
func (c *Conn) handleUnwritten(_ natsjs.JetStream, _ *nats.Msg, err error) {
	if withheld, ok := c.unwritten.Allow(); ok && !c.closing.Load() {
		c.options.Log.Warn("log entry not acknowledged", zap.Error(err), zap.Int("withheld", withheld))
	}
}

func (c *Conn) settings() []nats.Option {
	o := c.options
	patience := min(requestTimeout, dialTimeout/time.Duration(len(o.URLs)))
	settings := []nats.Option{
		nats.Name("scoutmaster " + o.Name),
		nats.Timeout(patience),
		nats.SetCustomDialer(&dialer{net.Dialer{Timeout: min(patience, hostTimeout)}}),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		// An entry that cannot be sent now is the caller's to send again.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(math.MaxInt), // see dialer
		nats.IgnoreAuthErrorAbort(),           // credentials may be put right while the program runs
		nats.CustomInboxPrefix(c.subject("inbox")),
		nats.ReconnectHandler(func(*nats.Conn) { c.reconnected.Wake() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && !c.closing.Load() {
				c.warn("nats connection lost", err)
			}
		}),
		nats.ErrorHandler(c.handleError),
	}
	if o.Credentials != "" {
		settings = append(settings, nats.UserCredentials(o.Credentials))
	}
	if o.CA != "" {
		settings = append(settings, nats.RootCAs(o.CA))
	}
	if o.Certificate != "" {
		settings = append(settings, nats.ClientCert(o.Certificate, o.Key))
	}
	return settings
}

// handleError learns what the servers say outside of any answer. It logs first: the error
// of Open, which may end then, is the last line of a program that does not start.
func (c *Conn) handleError(_ *nats.Conn, _ *nats.Subscription, err error) {
	c.warn("nats error", err)
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.mu.Lock()
		c.refused = err
		c.mu.Unlock()
		c.giveUp()
	}
	if errors.Is(err, nats.ErrSlowConsumer) {
		c.reconnected.Wake()
	}
}

func (c *Conn) subject(last string) string { return "scout." + c.options.Fleet + "." + last }
func (c *Conn) streamName() string         { return "SCOUT_" + c.options.Fleet }

// config is the stream as this program makes it, with so many replicas.
func (c *Conn) config(replicas int) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name:        c.streamName(),
		Description: "the log of a fleet of scoutmasters",
		Subjects:    []string{c.log},
		Retention:   natsjs.LimitsPolicy,
		Discard:     natsjs.DiscardOld,
		MaxBytes:    c.options.Bytes,
		Storage:     natsjs.FileStorage,
		Replicas:    replicas,
		AllowDirect: true,
		DenyDelete:  true, // a hole in the log would pass for an entry that was never written
		RePublish:   &natsjs.RePublish{Source: c.log, Destination: c.subject("followed")},
		Metadata:    map[string]string{formatKey: format},
	}
}

// prepare makes the stream, or checks and adjusts the one that is there.
func (c *Conn) prepare(ctx context.Context) error {
	stream, err := c.js.Stream(ctx, c.streamName())
	switch {
	case errors.Is(err, natsjs.ErrStreamNotFound):
		_, err = c.create(ctx)
		return err
	case err != nil:
		return err
	}
	return c.adopt(ctx, stream)
}

// create makes the stream: with three replicas if that many servers are there
// and nothing else was asked for.
func (c *Conn) create(ctx context.Context) (natsjs.Stream, error) {
	replicas := c.options.Replicas
	if replicas == 0 {
		stream, err := c.js.CreateStream(ctx, c.config(replicated))
		if !isTooFewServers(err) {
			return stream, err
		}
		replicas = 1
	}
	return c.js.CreateStream(ctx, c.config(replicas))
}

// adopt checks a stream that is there, and brings its size and the number of its
// replicas to what was asked for. A log that has one replica because there was one
// server gets three when a scoutmaster starts where there are three.
func (c *Conn) adopt(ctx context.Context, stream natsjs.Stream) error {
	have := stream.CachedInfo().Config
	switch {
	case have.Metadata[formatKey] == "" || !slices.Equal(have.Subjects, []string{c.log}):
		return &foreignError{c.streamName()}
	case have.Metadata[formatKey] != format:
		return &incompatibleError{c.options.Fleet, have.Metadata[formatKey]}
	}
	want, differs := c.needed(have)
	differs = differs || have.MaxBytes != c.options.Bytes
	want.MaxBytes = c.options.Bytes
	if want.Replicas = c.options.Replicas; want.Replicas == 0 {
		want.Replicas = max(have.Replicas, replicated)
	}
	if !differs && have.Replicas == want.Replicas {
		return nil
	}
	_, err := c.js.UpdateStream(ctx, want)
	if !isTooFewServers(err) || c.options.Replicas != 0 {
		return err
	}
	if want.Replicas = have.Replicas; !differs {
		return nil
	}
	_, err = c.js.UpdateStream(ctx, want)
	return err
}

// needed returns the configuration of a stream with the settings that entries need to
// come through it, and reports whether some of them differed. All others are the
// operator's.
func (c *Conn) needed(have natsjs.StreamConfig) (want natsjs.StreamConfig, differs bool) {
	ours := c.config(have.Replicas)
	want = have
	want.Subjects, want.RePublish, want.Retention, want.Discard = ours.Subjects, ours.RePublish, ours.Retention, ours.Discard
	want.AllowDirect, want.MaxMsgSize, want.NoAck = true, -1, false
	differs = !slices.Equal(have.Subjects, want.Subjects) || have.RePublish == nil || *have.RePublish != *want.RePublish ||
		have.Retention != want.Retention || have.Discard != want.Discard || !have.AllowDirect || have.MaxMsgSize > 0 || have.NoAck
	return want, differs
}

// repair gives a stream back the settings that it needs, if somebody has changed them
// while this program runs: entries would not come any more.
func (c *Conn) repair(ctx context.Context, have natsjs.StreamConfig) {
	want, differs := c.needed(have)
	if !differs || have.Metadata[formatKey] != format {
		return
	}
	_, err := c.js.UpdateStream(ctx, want) // after an error entries may come all the same
	if withheld, ok := c.repaired.Allow(); ok {
		c.options.Log.Warn("log settings changed", zap.Error(err), zap.Int("withheld", withheld))
	}
}

// Error codes of JetStream that the client library does not name.
const (
	codeInsufficientResources natsjs.ErrorCode = 10023
	codeReplicasNotSupported  natsjs.ErrorCode = 10074
	codeNoSuitablePeers       natsjs.ErrorCode = 10005
	codeAccountLimit          natsjs.ErrorCode = 10002
	codeMemoryLimit           natsjs.ErrorCode = 10028
	codeStorageLimit          natsjs.ErrorCode = 10047
	codeStreamLimit           natsjs.ErrorCode = 10122
	codeInvalidConfig         natsjs.ErrorCode = 10052
	codeSealed                natsjs.ErrorCode = 10109
)

func isTooFewServers(err error) bool {
	return slices.Contains([]natsjs.ErrorCode{codeInsufficientResources, codeReplicasNotSupported, codeNoSuitablePeers}, codeOf(err))
}

// lacksRoom reports whether JetStream cannot store as much as the log may take.
func lacksRoom(err error) bool {
	code := codeOf(err)
	return code == codeNoSuitablePeers && strings.Contains(err.Error(), "insufficient storage") ||
		slices.Contains([]natsjs.ErrorCode{codeAccountLimit, codeStorageLimit, codeMemoryLimit, codeStreamLimit}, code)
}

// codeOf returns the code of an error of JetStream, or 0.
func codeOf(err error) natsjs.ErrorCode {
	e, ok := errors.AsType[*natsjs.APIError](err)
	if !ok {
		if j, isJS := errors.AsType[natsjs.JetStreamError](err); isJS {
			e = j.APIError()
		}
	}
	if e == nil {
		return 0
	}
	return e.ErrorCode
}

// foreignError says that the stream was not made by a scoutmaster.
type foreignError struct{ stream string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("the stream %s belongs to another program: choose another -fleet, or remove the stream", e.stream)
}

// incompatibleError says that the fleet runs another version.
type incompatibleError struct{ fleet, format string }

func (e *incompatibleError) Error() string {
	return fmt.Sprintf("the fleet %s has a log of format %s, and this version writes format %s: run the version that the others run, or choose another -fleet", e.fleet, e.format, format)
}

// servers returns the URLs without passwords, for people.
func (c *Conn) servers() string {
	shown := make([]string, len(c.options.URLs))
	for i, text := range c.options.URLs {
		if u, err := url.Parse(text); err == nil {
			text = u.Redacted()
		}
		shown[i] = text
	}
	return strings.Join(shown, ",")
}

// explain words an error of the start, with what to do about it.
func (c *Conn) explain(err error) error {
	servers := c.servers()
	c.mu.Lock()
	refused := c.refused
	c.mu.Unlock()
	switch {
	case isOwn(err):
		return err
	case c.names(err, c.options.Credentials):
		return fmt.Errorf("nats at %s: %w: correct -nats-creds", servers, err)
	case c.names(err, c.options.CA, c.options.Certificate, c.options.Key):
		return fmt.Errorf("nats at %s: %w: correct -nats-ca, -nats-cert and -nats-key", servers, err)
	case isTLS(err), c.options.Certificate != "" && strings.Contains(err.Error(), "client certificate"): // which the library does not name
		return fmt.Errorf("nats at %s: %w: correct -nats-ca, -nats-cert and -nats-key", servers, err)
	case c.usesTLS() && errors.Is(err, syscall.ECONNRESET): // which may come before the reason
		return fmt.Errorf("nats at %s: tls: the server ends the connection (%w): correct -nats-ca, -nats-cert and -nats-key", servers, err)
	case refused != nil:
		return fmt.Errorf("nats at %s: %w: give this scoutmaster the permissions in docs/nats-permissions.conf, see docs/operations.md", servers, refused)
	case errors.Is(err, nats.ErrNoServers), isRefusedConnection(err):
		return fmt.Errorf("nats at %s: no server answers (%w): start nats-server -js there, or correct -nats", servers, err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("nats at %s: %w: correct -nats-creds, -nats-cert and -nats-key, or the user in -nats", servers, err)
	case errors.Is(err, natsjs.ErrJetStreamNotEnabled), errors.Is(err, natsjs.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nats at %s: JetStream is not enabled: start nats-server with -js, or enable it for this account", servers)
	case lacksRoom(err):
		return fmt.Errorf("nats at %s: %w: lower -log-bytes, or give JetStream more room", servers, err)
	case codeOf(err) == codeInvalidConfig, codeOf(err) == codeSealed:
		return fmt.Errorf("nats at %s: the stream %s has settings that a log cannot have: %w: remove the stream, or choose another -fleet", servers, c.streamName(), err)
	case isTooFewServers(err):
		return fmt.Errorf("nats at %s: %w: lower -replicas, or start more NATS servers", servers, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("nats at %s: JetStream does not answer within %s: see whether a majority of the NATS servers runs", servers, connectTimeout)
	}
	return fmt.Errorf("nats at %s: %w", servers, err)
}

func (c *Conn) usesTLS() bool { return c.options.CA != "" || c.options.Certificate != "" }

// names reports whether an error is about one of the files.
func (c *Conn) names(err error, files ...string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return f != "" && strings.Contains(err.Error(), f) })
}

func isOwn(err error) bool {
	if _, ok := errors.AsType[*foreignError](err); ok {
		return true
	}
	_, ok := errors.AsType[*incompatibleError](err)
	return ok
}

func isRefusedConnection(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" { // an alert of the other side
		return true
	}
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return record || alert || errors.Is(err, nats.ErrTLS) || errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted)
}
