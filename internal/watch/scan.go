package watch

import (
	"runtime"
	"sync"

	"scout/internal/files"
)

// reading is what reading one directory has shown.
type reading struct {
	listing *listing // sorted; to be given back with release
	stamp   stamp    // from before it was listed
	young   bool     // the stamp may hide a later change
	missing int      // so many entries cannot be listed
	err     error    // why nothing was listed
}

var (
	listings = sync.Pool{New: func() any { return new(listing) }}
	buffers  = sync.Pool{New: func() any { return new(dirents) }}
)

func (r *reading) release() {
	r.listing.reset()
	listings.Put(r.listing)
	r.listing = nil
}

// read lists the directory at path. It uses nothing of the tree that changes, so
// that several goroutines may read.
func (t *tree) read(path string) *reading {
	r := &reading{listing: listings.Get().(*listing)}
	f, err := t.disk.open(path)
	if err != nil {
		r.err = err
		if s, err := t.disk.stat([]byte(path)); err == nil { // what cannot be read can mostly be examined
			r.stamp = s.stamp()
		}
		return r
	}
	defer f.close()
	now := fileClock()
	s, err := f.stat()
	if err == nil {
		r.stamp, r.young = s.stamp(), s.isYoung(now)
		buf := buffers.Get().(*dirents)
		err = f.list(r.listing, buf)
		buffers.Put(buf)
	}
	if r.err = err; err != nil {
		r.listing.reset()
		return r
	}
	t.examine(path, f, r)
	t.filter(path, r)
	r.listing.sort()
	return r
}

// examine finds out of which kind the entries are of which the listing does not
// say it. One that cannot be examined is left out.
func (t *tree) examine(path string, f opened, r *reading) {
	for _, name := range r.listing.unknown {
		sub := true
		if !t.forest.points().has(path, name) { // or a call might hang
			s, err := f.statName(name)
			if isGone(err) {
				continue
			}
			if err != nil {
				r.missing++
				continue
			}
			sub = s.dir
		}
		r.listing.add([]byte(name), sub)
	}
}

// filter drops the entries that are not to be listed.
func (t *tree) filter(path string, r *reading) {
	prefix := path
	if path != "" {
		prefix += "/"
	}
	f, points := t.forest, t.forest.points()[path]
	if f.recursive && len(f.excludes) == 0 && points == nil && !tooLong(len(prefix)+r.listing.longest, true) {
		return
	}
	r.listing.keep(func(e entry) bool {
		name := string(r.listing.name(e))
		if e.sub {
			name = name[:len(name)-1]
		}
		switch {
		case e.sub && (!f.recursive || f.points().has(path, name)), f.excludes.match(prefix + name):
			return false
		case tooLong(len(prefix)+len(name), e.sub):
			r.missing++
			return false
		}
		return true
	})
}

// tooLong reports whether a path of that length cannot be listed, or if it is a
// directory's, nothing in it can.
func tooLong(length int, sub bool) bool {
	if sub {
		length += len("/x")
	}
	return length > files.MaxName
}

// readAhead is about how many entries a scan may have read and not yet handed
// over.
const readAhead = 1 << 15

// scan reads all that is below a directory, several directories at once, and
// hands over the names of the files in order.
//
// Its jobs, one for each directory, are consumed in the order of the names.
// Readers take them from a stack on which the subdirectories of a directory lie
// in that order, so they are mostly just ahead; whoever needs a job that nobody
// has taken does it. So nobody waits for what is not being done.
type scan struct {
	tree *tree
	emit func(d *directory, name []byte)
	name []byte // scratch

	mu      sync.Mutex
	changed sync.Cond // a job is done, or queued, or consumed, or the scan is over
	queue   []*job
	ahead   int  // entries in jobs that are done and not consumed
	begun   bool // readers are at work
	over    bool
	readers sync.WaitGroup
}

// job is one directory to be read.
type job struct {
	dir     *directory
	taken   bool
	reading *reading // nil until it is done
	subs    []*job   // one for each subdirectory in the reading, in order
}

// scan reads d, which is not in the tree yet, and all below, and makes that
// known. It calls emit with the name of each file, valid for the call, and its
// directory. Its error says that there is nothing to know of d itself.
func (t *tree) scan(d *directory, emit func(d *directory, name []byte)) error {
	s := &scan{tree: t, emit: emit}
	s.changed.L = &s.mu
	defer s.end()
	return s.consume(&job{dir: d})
}

func (s *scan) end() {
	s.mu.Lock()
	s.over = true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.readers.Wait()
}

// consume hands over the names below the job's directory. An error says that it
// is gone, or that the scan is to end.
func (s *scan) consume(j *job) error {
	if s.tree.halted() {
		return errHalted
	}
	r := s.result(j)
	defer r.release()
	if isGone(r.err) || (r.err != nil && j.dir.parent == nil) {
		return r.err
	}
	s.tree.admit(j.dir, r)
	s.name = j.dir.appendPrefix(s.name[:0])
	prefix, subs := len(s.name), j.subs
	if len(subs) > 0 {
		j.dir.subs = make([]*directory, 0, len(subs))
	}
	for _, e := range r.listing.entries {
		if !e.sub {
			s.name = append(s.name[:prefix], r.listing.name(e)...)
			s.emit(j.dir, s.name)
			continue
		}
		if err := s.consume(subs[0]); err == nil {
			j.dir.subs = append(j.dir.subs, subs[0].dir)
		} else if !isGone(err) {
			return err
		}
		subs = subs[1:]
	}
	j.subs = nil
	return nil
}

// result does the job, or waits for the reader that does.
func (s *scan) result(j *job) *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !j.taken {
		s.do(j)
	}
	for j.reading == nil {
		s.changed.Wait()
	}
	s.ahead -= j.weight()
	s.changed.Broadcast()
	return j.reading
}

// do reads the job's directory and queues its subdirectories. It is called with
// mu held, and lets go of it meanwhile.
func (s *scan) do(j *job) {
	j.taken = true
	s.mu.Unlock()
	r := s.tree.read(j.dir.path())
	subs := jobs(j.dir, r.listing)
	s.mu.Lock()
	j.reading, j.subs = r, subs
	s.ahead += j.weight()
	for i := range subs {
		s.queue = append(s.queue, subs[len(subs)-1-i])
	}
	if len(s.queue) > 1 {
		s.begin()
	}
	s.changed.Broadcast()
}

// begin starts the readers. Whoever calls holds mu.
func (s *scan) begin() {
	if s.begun {
		return
	}
	s.begun = true
	for range max(2, runtime.GOMAXPROCS(0)) {
		s.readers.Go(s.read)
	}
}

// read does jobs that the consumer will soon need, until the scan is over.
func (s *scan) read() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over {
		if j := s.next(); j != nil && s.ahead < readAhead {
			s.do(j)
		} else {
			s.changed.Wait()
		}
	}
}

// next returns the first job in the queue that nobody has taken, or nil.
func (s *scan) next() *job {
	for n := len(s.queue); n > 0; n = len(s.queue) {
		if j := s.queue[n-1]; !j.taken {
			return j
		}
		s.queue[n-1], s.queue = nil, s.queue[:n-1]
	}
	return nil
}

func (j *job) weight() int { return 1 + len(j.reading.listing.entries) }

func jobs(d *directory, l *listing) []*job {
	var subs []*job
	for _, e := range l.entries {
		if e.sub {
			name := l.name(e)
			subs = append(subs, &job{dir: &directory{name: string(name[:len(name)-1]), parent: d}})
		}
	}
	return subs
}
