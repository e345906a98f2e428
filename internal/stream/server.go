package stream

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	scoutv1 "scout/proto/scout/v1"
)

// defaultSnapshots is how many snapshots come in at once unless configured.
const defaultSnapshots = 8

// defaultSnapshotBytes is how many bytes they may have together, likewise.
const defaultSnapshotBytes = 64 << 20

// Config is what a scoutmaster's sessions are run by.
type Config struct {
	Heartbeat time.Duration // how often each side must be heard
	Deadline  time.Duration // silence after which a side is given up; greater than Heartbeat
	Snapshots int           // how many snapshots come in at once; 0: a sensible few
	// How many bytes of names they have together; 0: a sensible number.
	SnapshotBytes int64
	// Capacity says why nothing more can be taken in now: neither a scout nor a
	// snapshot. nil is that it can, or that there is no limit.
	Capacity   func() error
	Limits     Limits     // on what scouts make the master hold
	Authorizer Authorizer // nil: whoever reaches the server may register
	Log        *zap.Logger
	Recorder   Recorder // nil: nothing is counted
}

// Server is the master's end of all sessions: a gRPC service. Run must be
// running while it serves.
type Server struct {
	scoutv1.UnimplementedScoutmasterServiceServer

	config    Config
	registry  Registry
	clock     *awake
	admission *admission
	quota     *quota

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
	if config.Recorder == nil {
		config.Recorder = unrecorded{}
	}
	if config.SnapshotBytes == 0 {
		config.SnapshotBytes = defaultSnapshotBytes
	}
	if config.Authorizer == nil {
		config.Authorizer = everybody{}
	}
	s := &Server{
		config:    config,
		registry:  registry,
		clock:     newAwake(masterTick),
		admission: newAdmission(config.Snapshots, config.SnapshotBytes),
		quota:     &quota{limits: config.Limits},
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

// room is nil unless the master cannot take in more.
func (s *Server) room() error {
	if s.config.Capacity == nil {
		return nil
	}
	if why := s.config.Capacity(); why != nil {
		return noRoom(why)
	}
	return nil
}
