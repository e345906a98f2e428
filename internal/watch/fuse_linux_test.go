package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"scout/internal/files"
)

// faultyDisk is a file system (FUSE) that shows another directory and misbehaves
// as it is told.
type faultyDisk struct {
	fuse.RawFileSystem
	dir string

	mu     sync.Mutex
	gate   chan struct{} // closed while requests are answered
	delay  time.Duration // before each request is answered
	status fuse.Status   // of the listing of directories
	frozen bool          // times never move
}

// mountFaulty mounts a disk at dir that shows the directory backing.
func mountFaulty(t *testing.T, backing, dir string) *faultyDisk {
	t.Helper()
	root, err := fs.NewLoopbackRoot(backing)
	must(t, err)
	var never time.Duration // the kernel must not remember anything
	k := &faultyDisk{dir: dir, gate: make(chan struct{})}
	close(k.gate)
	k.RawFileSystem = fs.NewNodeFS(root, &fs.Options{EntryTimeout: &never, AttrTimeout: &never})
	server, err := fuse.NewServer(k, dir, &fuse.MountOptions{DirectMountStrict: true, DisableReadDirPlus: true, FsName: "faulty", Name: "faulty"})
	if err != nil {
		t.Skipf("SKIPPED: FUSE is not to be had: %v", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve() }()
	must(t, server.WaitMount())
	t.Cleanup(func() {
		k.set(func() { k.delay = 0 })
		k.heal()
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		<-ended
	})
	return k
}

func (k *faultyDisk) set(change func()) { k.mu.Lock(); defer k.mu.Unlock(); change() }

// hang has the disk answer nothing until heal.
func (k *faultyDisk) hang() { k.set(func() { k.gate = make(chan struct{}) }) }

func (k *faultyDisk) heal() {
	k.set(func() {
		if !isClosed(k.gate) {
			close(k.gate)
		}
	})
}

func (k *faultyDisk) wait() {
	k.mu.Lock()
	gate, delay := k.gate, k.delay
	k.mu.Unlock()
	<-gate
	time.Sleep(delay)
}

func (k *faultyDisk) freeze(a *fuse.Attr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.frozen {
		a.SetTimes(&time.Time{}, &time.Time{}, &time.Time{})
	}
}

func (k *faultyDisk) Lookup(c <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	k.wait()
	defer k.freeze(&out.Attr)
	return k.RawFileSystem.Lookup(c, h, name, out)
}

func (k *faultyDisk) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	k.wait()
	defer k.freeze(&out.Attr)
	return k.RawFileSystem.GetAttr(c, in, out)
}

func (k *faultyDisk) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	k.wait()
	return k.RawFileSystem.OpenDir(c, in, out)
}

func (k *faultyDisk) ReadDir(c <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	k.wait()
	k.mu.Lock()
	status := k.status
	k.mu.Unlock()
	if status != fuse.OK {
		return status
	}
	return k.RawFileSystem.ReadDir(c, in, out)
}

// withDisk makes a directory to watch with a faulty disk mounted in it at m, and
// a local directory d beside that.
func withDisk(t *testing.T) (dir string, k *faultyDisk, backing string) {
	t.Helper()
	needsRoot(t)
	dir, backing = in(t), t.TempDir()
	shell(t, dir, "mkdir d m; touch d/f")
	shell(t, backing, "mkdir sub; touch sub/x y")
	return dir, mountFaulty(t, backing, dir+"/m"), backing
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: to mount a file system needs root")
	}
}

// quick fails the test unless the file at the name is listed within two seconds
// of its creation.
func (s *subject) quick(name string) {
	s.t.Helper()
	began := time.Now()
	write(s.t, filepath.Join(s.dir, name))
	s.until(name, contains(name))
	if took := time.Since(began); took > 2*time.Second {
		s.t.Errorf("%s was listed after %s", name, took)
	}
}

func incomplete(text string) func(files.View) bool {
	return func(v files.View) bool { return v.Set != nil && strings.Contains(v.Incomplete, text) }
}

func isWhole(v files.View) bool { return v.Set != nil && v.Incomplete == "" }

// A mount that hangs is set aside: its files stay, all else is as fresh as ever.
func TestMountHangs(t *testing.T) {
	dir, k, backing := withDisk(t)
	s := start(t, dir, Options{Notify: true, Poll: 50 * time.Millisecond, Recursive: true})
	s.converge()
	s.until("a complete list", isWhole)
	k.hang()
	s.until("the mount to be named", incomplete(s.dir+"/m does not answer"))
	for i := range 5 {
		s.quick(fmt.Sprintf("d/%d", i))
	}
	s.answered(s.Rescan())
	if v := s.View(); !contains("m/y")(v) || !contains("m/sub/x")(v) || !incomplete("does not answer")(v) {
		t.Errorf("view is %s", describe(v))
	}
	if !s.Alive() {
		t.Error("the watcher is taken for dead")
	}
	write(t, backing+"/late")
	k.heal()
	s.until("the mount to be back", func(v files.View) bool { return isWhole(v) && contains("m/late")(v) })
	s.converge()
	for _, m := range []string{"file system does not answer", "file system answers again"} {
		if n := s.logs.FilterMessage(m).Len(); n != 1 {
			t.Errorf("%d log lines say %q", n, m)
		}
	}
}

// A mount that hangs keeps neither the start nor the end from anybody.
func TestMountHangsFromTheStart(t *testing.T) {
	dir, k, _ := withDisk(t)
	k.hang()
	s := start(t, dir, Options{Notify: true, Poll: 50 * time.Millisecond, Recursive: true})
	s.convergeTo("d/f")
	s.until("the mount to be named", incomplete("does not answer"))
	s.quick("d/g")
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
	k.heal()
	s = start(t, dir, Options{Notify: true, Poll: 50 * time.Millisecond, Recursive: true})
	s.converge()
}

// The directory itself hangs.
func TestDirectoryHangs(t *testing.T) {
	needsRoot(t)
	dir, backing := in(t), t.TempDir()
	shell(t, backing, "mkdir d; touch d/f")
	k := mountFaulty(t, backing, dir)
	s := start(t, dir, Options{Notify: true, Poll: 50 * time.Millisecond, Recursive: true}, checkOften)
	s.convergeTo("d/f")
	k.hang()
	s.until("that to be said", incomplete("does not answer"))
	k.heal()
	write(t, backing+"/d/g")
	s.until("its return", func(v files.View) bool { return isWhole(v) && contains("d/g")(v) })
	k.hang()
	s.until("that to be said again", incomplete("does not answer"))
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
	began = time.Now()
	if _, err := Claim(dir); err == nil || !strings.Contains(err.Error(), "does not answer") || time.Since(began) > 5*time.Second {
		t.Errorf("claim of a directory that hangs: %v after %s", err, time.Since(began))
	}
	k.heal()
}

// A mount that crawls holds up nothing else.
func TestMountCrawls(t *testing.T) {
	dir, k, backing := withDisk(t)
	shell(t, backing, "seq -f s%g 20 | xargs mkdir; for i in s*; do touch $i/f; done")
	s := start(t, dir, Options{Notify: true, Poll: 50 * time.Millisecond, Recursive: true})
	s.converge()
	k.set(func() { k.delay = 40 * time.Millisecond })
	for i := range 10 {
		s.quick(fmt.Sprintf("d/%d", i))
	}
	if v := s.View(); strings.Contains(v.Incomplete, "does not answer") {
		t.Errorf("a mount that answers is set aside: %s", v.Incomplete)
	}
	k.set(func() { k.delay = 0 })
	write(t, backing+"/s7/late")
	s.converge()
}

// Times that never move prove nothing.
func TestTimesNeverMove(t *testing.T) {
	dir, k, backing := withDisk(t)
	k.set(func() { k.frozen = true })
	s := start(t, dir, Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true})
	s.converge()
	for range 3 {
		shell(t, backing, "touch sub/$RANDOM$RANDOM; mkdir n$RANDOM; rm -f y")
		s.converge()
	}
}

// The directory, or a part of it, cannot be listed.
func TestListingFails(t *testing.T) {
	dir, k, _ := withDisk(t)
	s := start(t, dir, Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true})
	s.converge()
	k.set(func() { k.status = fuse.EIO })
	s.until("the reason", incomplete("m cannot be read: input/output error"))
	s.answered(s.Rescan())
	if v := s.View(); !slices.Equal(names(v.Set), []string{"d/f"}) || v.Unreadable != 1 {
		t.Errorf("view is %s", describe(v))
	}
	k.set(func() { k.status = fuse.OK })
	s.converge()
	s.until("a complete list", isWhole)
	s.stop()

	s = start(t, dir+"/m", Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true}, checkOften)
	s.converge()
	k.set(func() { k.status = fuse.EIO })
	s.unavailable("input/output error")
	k.set(func() { k.status = fuse.OK })
	s.converge()
}

// longNames is a directory (FUSE) with names that other file systems do not allow: the
// kernel allows them 1,024 bytes.
type longNames struct {
	fs.Inode
	paths []string
}

func (n *longNames) OnAdd(ctx context.Context) {
	for _, path := range n.paths {
		at := n.EmbeddedInode()
		parts := strings.Split(path, "/")
		for _, dir := range parts[:len(parts)-1] {
			sub := at.GetChild(dir)
			if sub == nil {
				sub = at.NewPersistentInode(ctx, &fs.Inode{}, fs.StableAttr{Mode: syscall.S_IFDIR})
				at.AddChild(dir, sub, false)
			}
			at = sub
		}
		at.AddChild(parts[len(parts)-1], at.NewPersistentInode(ctx, &fs.MemRegularFile{}, fs.StableAttr{}), false)
	}
}

// Names of more than 255 bytes are listed where a path has room for them. Others are
// left out and counted, and all else goes on.
func TestNamesLongerThanElsewhere(t *testing.T) {
	needsRoot(t)
	dir := in(t)
	shell(t, dir, "mkdir d m")
	name := strings.Repeat
	deep := strings.Join([]string{name("v", 1000), name("w", 1000), name("x", 1000), name("y", 1000)}, "/") + "/"
	room := files.MaxName - len("m/") - len(deep)
	fits, tooLong := deep+name("y", room), deep+name("z", room+1)
	root := &longNames{paths: []string{
		"short", name("a", 255), name("b", 256), name("c", 765), name("d", 1024), name("e", 300) + "/f", fits, tooLong,
	}}
	server, err := fs.Mount(dir+"/m", root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		t.Skipf("SKIPPED: FUSE is not to be had: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir+"/m", syscall.MNT_DETACH); server.Wait() })
	s := start(t, dir, Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true})
	want := without(find(t, dir), []string{"m/" + tooLong})
	if len(want) != len(root.paths)-1 {
		t.Fatalf("find prints %d names of %d", len(want), len(root.paths)-1)
	}
	s.convergeTo(want...)
	s.until("what is missing to be named", incomplete("has 1 names that cannot be listed"))
	if v := s.View(); v.Unreadable != 1 {
		t.Errorf("view is %s", describe(v))
	}
	s.quick("d/g")
	var sent files.Builder
	for part := range s.View().Set.Parts(1 << 20) {
		must(t, sent.Append(part))
	}
}

// A disk whose server has gone is not the end, and its mount is replaced.
func TestMountIsReplaced(t *testing.T) {
	dir, _, _ := withDisk(t)
	s := start(t, dir, Options{Notify: true, Poll: time.Hour, Recursive: true})
	s.converge()
	must(t, syscall.Unmount(dir+"/m", syscall.MNT_DETACH))
	s.converge()
	other := t.TempDir()
	shell(t, other, "mkdir deep; touch deep/z")
	mountFaulty(t, other, dir+"/m")
	s.converge()
	s.until("a complete list", isWhole)
}

// A disk that is unmounted and mounted again looks the same, and its watches are
// dead.
func TestSameDiskMountedAgain(t *testing.T) {
	needsRoot(t)
	dir := in(t)
	image := filepath.Join(t.TempDir(), "image")
	shell(t, dir, "mkdir m; truncate -s 8M "+image+"; mkfs.ext4 -q "+image+" || exit 77")
	mount := func() { shell(t, dir, "mount -o loop "+image+" $PWD/m") }
	t.Cleanup(func() { shell(t, "/", "umount -l "+dir+"/m || true") })
	mount()
	shell(t, dir, "mkdir -p m/a/b; touch m/a/b/c")
	s := start(t, dir, Options{Notify: true, Poll: time.Hour, Recursive: true})
	s.converge()
	for i := range 3 {
		shell(t, dir, "until umount $PWD/m 2>/dev/null; do sleep 0.01; done")
		mount()
		s.until("a complete list", func(v files.View) bool { return isWhole(v) && v.Polled == 0 })
		s.converge()
		shell(t, dir, fmt.Sprintf("touch m/%d m/a/b/%d", i, i))
		s.converge()
	}
}
