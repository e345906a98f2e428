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
	// defaultSnapshots is the default of Config.Snapshots.
	defaultSnapshots = 8
	// defaultSnapshotBytes is the default of Config.SnapshotBytes.
	defaultSnapshotBytes = 64 << 20
)

// Config configures the sessions of a scoutmaster.
type Config struct {
	Heartbeat time.Duration // how often each side must be heard
	Deadline  time.Duration // silence after which a side is given up; see CheckTiming
	Snapshots int           // maximum number of snapshots at once; 0: the default
	// SnapshotBytes is the maximum size of their names together; 0: the default.
	SnapshotBytes int64
	// Capacity returns an error if the master has no capacity for another scout or
	// snapshot now. nil: there is no limit.
	Capacity   func() error
	Limits     Limits     // of the data that the master holds for scouts
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
	stopping context.Context // done when all sessions have to end
	stop     context.CancelFunc
	sessions sync.WaitGroup // the goroutines of all sessions
}

// NewServer returns a Server that registers scouts with registry.
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

// Run runs the clock of the sessions until ctx is done. Then it accepts no more
// sessions, tells every scout that the master is stopping, and returns when all sessions
// have ended. That is soon, so that grpc.Server.GracefulStop can return as well.
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

// open counts a session, unless the server is stopping.
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

// full returns an error if the master has no capacity.
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
	// lineInterval is the interval for which log lines are limited: one cause can
	// write eachLines with a message in it, and all causes together mostLines.
	lineInterval = 10 * time.Second
	eachLines    = 5
	mostLines    = 100
)

// limitedLog writes log lines that peers can cause, within limits for each message. The
// field `withheld` is the number of lines with this message that were not written since
// the last one.
type limitedLog struct {
	log *zap.Logger

	mu     sync.Mutex
	limits map[string]*throttle.Keyed[string] // by message
}

func newLimitedLog(log *zap.Logger) *limitedLog {
	return &limitedLog{log: log, limits: make(map[string]*throttle.Keyed[string])}
}

// warn writes a line, within the limit of its cause.
func (l *limitedLog) warn(msg, cause string, fields ...zap.Field) {
	withheld, ok := l.limit(msg).Allow(cause)
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
		k = &throttle.Keyed[string]{Interval: lineInterval, Each: eachLines, Most: mostLines}
		l.limits[msg] = k
	}
	return k
}

const (
	// A part of an update is far smaller; another implementation may send larger
	// ones.
	maxMessage = 4 << 20
	// The data in flight from a scout. It is enough for a fast link, and little enough
	// that messages after a snapshot arrive soon on a slow one. With fixed windows no
	// session probes for a larger one.
	streamWindow     = 256 << 10
	connectionWindow = 256 << 10
	// Messages of a master, and most messages to it, are short; larger ones bypass the
	// buffer. A session holds one buffer while it writes and, with TLS, one for
	// reading all the time.
	serverBuffer = 4 << 10
)

// ServerOptions returns the options that the protocol requires of a gRPC server. The
// caller adds credentials.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(serverBuffer),
		grpc.WriteBufferSize(serverBuffer),
		grpc.ConnectionTimeout(5 * time.Second),
		// Sessions notice by themselves that a peer is gone. This closes their
		// connections on a network that loses all packets, and unused connections.
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: time.Minute, Time: 15 * time.Second, Timeout: 10 * time.Second,
		}),
		// A client of grpc may send pings as often as it can.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}
