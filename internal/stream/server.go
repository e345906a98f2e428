package stream

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"scout/internal/throttle"
	scoutv1 "scout/proto/scout/v1"
)

const (
	// defaultSnapshots is how many snapshots come in at once unless configured.
	defaultSnapshots = 8
	// defaultSnapshotBytes is how many bytes they may have together, likewise.
	defaultSnapshotBytes = 64 << 20
)

// Config is what a scoutmaster's sessions are run by.
type Config struct {
	Heartbeat time.Duration // how often each side must be heard
	Deadline  time.Duration // silence after which a side is given up; see CheckTiming
	Snapshots int           // how many snapshots come in at once; 0: a sensible few
	// How many bytes of names they have together; 0: a sensible number.
	SnapshotBytes int64
	// Capacity returns why nothing more can be taken in now: neither a scout nor a
	// snapshot. nil means that it can, or that there is no limit.
	Capacity   func() error
	Limits     Limits     // on what scouts make the master hold
	Authorizer Authorizer // nil: any peer that reaches the server may register
	Log        *zap.Logger
	Recorder   Recorder // nil: nothing is counted
}

// Server is the master's end of all sessions: a gRPC service. Run must be
// running while it serves.
type Server struct {
	scoutv1.UnimplementedScoutmasterServiceServer

	config   Config
	registry Registry
	clock    *awakeClock
	queue    *snapshotQueue
	quota    *quota
	log      *limitedLog

	mu       sync.Mutex
	stopping context.Context // done when no session may go on
	stop     context.CancelFunc
	sessions sync.WaitGroup // the goroutines of all sessions
}

// NewServer makes the service that registers scouts with registry.
func NewServer(registry Registry, config Config) *Server {
	if config.Snapshots == 0 {
		config.Snapshots = defaultSnapshots
	}
	if config.SnapshotBytes == 0 {
		config.SnapshotBytes = defaultSnapshotBytes
	}
	if config.Recorder == nil {
		config.Recorder = unrecorded{}
	}
	if config.Authorizer == nil {
		config.Authorizer = anybody{}
	}
	s := &Server{
		config:   config,
		registry: registry,
		clock:    newAwakeClock(masterTick),
		queue:    newSnapshotQueue(config.Snapshots, config.SnapshotBytes),
		quota:    &quota{limits: config.Limits},
		log:      newLimitedLog(config.Log),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Run watches over the sessions until ctx is done. Then it tells every scout
// that the master is stopping, takes no more, and returns when all have ended:
// soon, so that grpc.Server.GracefulStop can return as well.
func (s *Server) Run(ctx context.Context) error {
	s.clock.run(ctx)
	s.close()
	s.sessions.Wait()
	return nil
}

// Session serves one scout. It implements scoutv1.ScoutmasterServiceServer.
func (s *Server) Session(stream scoutv1.ScoutmasterService_SessionServer) error {
	if !s.open() {
		return errStopping
	}
	defer s.sessions.Done()
	return newMasterSession(s, stream).run()
}

// open counts a session in, unless the server is stopping.
func (s *Server) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Err() != nil {
		return false
	}
	s.sessions.Add(1)
	return true
}

func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// full returns why the master cannot take in more; nil if it can.
func (s *Server) full() error {
	if s.config.Capacity == nil {
		return nil
	}
	if why := s.config.Capacity(); why != nil {
		return noCapacity(why)
	}
	return nil
}

const (
	// lineInterval is how often one peer can cause the same line in the log.
	lineInterval = 10 * time.Second
	// mostLines is for how many peers such a line is written in each interval.
	mostLines = 100
)

// limitedLog writes the lines that peers can cause, at most so many of each. A
// line says in the field `withheld` how many with its message were not written
// since the last that was.
type limitedLog struct {
	log *zap.Logger

	mu     sync.Mutex
	limits map[string]*throttle.Keyed[string] // by message
}

func newLimitedLog(log *zap.Logger) *limitedLog {
	return &limitedLog{log: log, limits: make(map[string]*throttle.Keyed[string])}
}

// warn writes a line that the peer has caused.
func (l *limitedLog) warn(msg, peer string, fields ...zap.Field) {
	withheld, ok := l.limit(msg).Allow(peer)
	if !ok {
		return
	}
	if withheld > 0 {
		fields = append(fields, zap.Int("withheld", withheld))
	}
	l.log.Warn(msg, fields...)
}

// limit returns the limit of the message, which is a constant.
func (l *limitedLog) limit(msg string) *throttle.Keyed[string] {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.limits[msg]
	if k == nil {
		k = &throttle.Keyed[string]{Interval: lineInterval, Most: mostLines}
		l.limits[msg] = k
	}
	return k
}

const (
	// A part of an update is far below this; another implementation's may be
	// larger.
	maxMessage = 4 << 20
	// How much may be on its way from a scout: enough for a fast link, and little
	// enough that what it says behind a snapshot comes soon on a slow one. Fixed
	// windows also spare each session the probing for a larger one.
	streamWindow     = 256 << 10
	connectionWindow = 256 << 10
	// What a master says is short, and so is nearly all that it hears: the rest
	// passes the buffer by. Each session holds one whenever it is about to write,
	// and, with TLS, one to read into all the time.
	serverBuffer = 4 << 10
)

// ServerOptions is what the protocol asks of a gRPC server. The caller adds
// credentials and the like.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(serverBuffer),
		grpc.WriteBufferSize(serverBuffer),
		grpc.ConnectionTimeout(5 * time.Second),
		// Sessions notice by themselves that a peer is gone; this closes what they
		// leave behind on a network that swallows everything, and connections that
		// nobody uses.
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: time.Minute, Time: 15 * time.Second, Timeout: 10 * time.Second,
		}),
		// Pings as frequent as a client of grpc can send them are welcome.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}
