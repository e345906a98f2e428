package master

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"scout/internal/files"
)

// How much a scout can make the scoutmaster log, whatever it does.
const (
	// logInterval is how long lines of a kind are collected after the first.
	logInterval = time.Second
	// stateLinesMost is how many changes of state are logged of one origin in an
	// interval. Of further ones the last is logged at its end.
	stateLinesMost = 10
)

// scoutLogs has the log of each origin that has a member, or had one in the last
// interval: a scout that registers again and again has one bound.
type scoutLogs struct {
	log *zap.Logger

	mu       sync.Mutex
	byOrigin map[files.Origin]*scoutLog
}

func newScoutLogs(log *zap.Logger) *scoutLogs {
	return &scoutLogs{log: log, byOrigin: make(map[files.Origin]*scoutLog)}
}

// open returns the log of an origin. The caller closes it after use.
func (s *scoutLogs) open(origin files.Origin) *scoutLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byOrigin[origin]
	if l == nil {
		l = newScoutLog(s, origin)
		s.byOrigin[origin] = l
	}
	l.users++
	return l
}

// scoutLog writes what happens to the scouts of one origin. It logs the first
// event of a quiet time at once, and the events of each following interval at
// its end, as one line that sums them up. Any goroutine may use it.
type scoutLog struct {
	logs   *scoutLogs
	origin files.Origin
	log    *zap.Logger
	users  int // guarded by logs.mu

	mu sync.Mutex

	syncing interval
	synced  syncedLine // is to be logged, if it has updates

	refusing interval
	refused  refusedLine // is to be logged, if it has times

	changing interval
	written  int       // changes of state that this interval has logged
	withheld int       // changes of state that it has not
	last     stateLine // the last of them
}

// syncedLine sums up updates of what a scout shows.
type syncedLine struct {
	updates               int
	files, added, removed int
	revision              uint64
	took                  time.Duration // by the slowest
}

// refusedLine is a registration that was refused, the last of several.
type refusedLine struct {
	times           int
	holder, address string
}

// stateLine is a change of a scout's state.
type stateLine struct {
	level  zapcore.Level
	msg    string
	fields []zap.Field
}

// interval begins with the first event of a quiet time. Another interval follows
// one that had further events.
type interval struct {
	tick  func()      // is called at its end
	timer *time.Timer // nil before the first interval
	open  bool
	busy  bool // had further events
}

// begins reports whether an event is the first of a quiet time.
func (i *interval) begins() bool {
	if i.open {
		i.busy = true
		return false
	}
	i.open = true
	if i.timer == nil {
		i.timer = time.AfterFunc(logInterval, i.tick)
	} else {
		i.timer.Reset(logInterval)
	}
	return true
}

// end ends an interval, and begins another if it was busy.
func (i *interval) end() {
	if i.open, i.busy = i.busy, false; i.open {
		i.timer.Reset(logInterval)
	}
}

func newScoutLog(s *scoutLogs, origin files.Origin) *scoutLog {
	l := &scoutLog{logs: s, origin: origin, log: s.log.With(
		zap.String("host", origin.Host), zap.String("directory", origin.Directory))}
	l.syncing.tick = func() { l.end(&l.syncing, l.flushSynced) }
	l.refusing.tick = func() { l.end(&l.refusing, l.flushRefused) }
	l.changing.tick = func() { l.end(&l.changing, l.flushStates) }
	return l
}

// close ends a use of the log. Its collected events are logged all the same.
func (l *scoutLog) close() {
	l.logs.mu.Lock()
	defer l.logs.mu.Unlock()
	l.users--
	l.forget()
}

// forget removes the log once nothing needs it. The caller holds logs.mu.
func (l *scoutLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 && !l.syncing.open && !l.refusing.open && !l.changing.open {
		delete(l.logs.byOrigin, l.origin)
	}
}

// end ends one of the intervals.
func (l *scoutLog) end(i *interval, flush func()) {
	l.mu.Lock()
	flush()
	i.end()
	idle := !i.open
	l.mu.Unlock()
	if idle {
		l.logs.mu.Lock()
		defer l.logs.mu.Unlock()
		l.forget()
	}
}

// filesSynced logs one update of what the scout shows.
func (l *scoutLog) filesSynced(u syncedLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.syncing.begins() {
		l.writeSynced(u, zap.Skip())
		return
	}
	l.synced = syncedLine{
		updates: l.synced.updates + 1, files: u.files, added: l.synced.added + u.added, removed: l.synced.removed + u.removed,
		revision: u.revision, took: max(l.synced.took, u.took),
	}
}

// flushSynced logs the updates that are collected. The caller holds mu.
func (l *scoutLog) flushSynced() {
	if l.synced.updates > 0 {
		l.writeSynced(l.synced, zap.Int("updates", l.synced.updates))
		l.synced = syncedLine{}
	}
}

func (l *scoutLog) writeSynced(u syncedLine, updates zap.Field) {
	l.log.Info("files synced", zap.Int("files", u.files), zap.Int("added", u.added), zap.Int("removed", u.removed),
		zap.Uint64("revision", u.revision), zap.Float64("seconds", u.took.Seconds()), updates)
}

// registrationRefused logs that a newcomer was refused because of a holder.
func (l *scoutLog) registrationRefused(holder, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusing.begins() {
		l.writeRefused(refusedLine{holder: holder, address: address}, zap.Skip())
		return
	}
	l.refused = refusedLine{l.refused.times + 1, holder, address}
}

func (l *scoutLog) flushRefused() {
	if l.refused.times > 0 {
		l.writeRefused(l.refused, zap.Int("withheld", l.refused.times-1))
		l.refused = refusedLine{}
	}
}

func (l *scoutLog) writeRefused(r refusedLine, withheld zap.Field) {
	l.log.Warn("registration refused", zap.String("holder", r.holder), zap.String("address", r.address), withheld)
}

// state logs a change of the scout's state, after the updates before it.
func (l *scoutLog) state(level zapcore.Level, msg string, fields ...zap.Field) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changing.begins()
	if l.written == stateLinesMost {
		l.withheld++
		l.last = stateLine{level, msg, fields}
		return
	}
	l.written++
	l.flushSynced()
	l.log.Log(level, msg, fields...)
}

// flushStates logs the last of the changes that were withheld, with how many
// others there were.
func (l *scoutLog) flushStates() {
	l.written = 0
	if l.withheld > 0 {
		l.written = 1
		l.flushSynced()
		l.log.Log(l.last.level, l.last.msg, append(l.last.fields, zap.Int("withheld", l.withheld-1))...)
		l.withheld, l.last = 0, stateLine{}
	}
}
