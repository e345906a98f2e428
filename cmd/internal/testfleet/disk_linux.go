package testfleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// DiskFaults are how a Disk misbehaves.
type DiskFaults struct {
	Delay   time.Duration // before each request is answered
	Failing bool          // directories cannot be listed: EIO
	Frozen  bool          // the times of files and directories never move
}

// Disk is a file system that shows another directory and misbehaves as it is
// told (FUSE). Its server is a process of its own: paused, it leaves requests
// unread, as a network file system does whose server is gone. Pause and Continue
// make the disk hang and heal.
type Disk struct {
	*Process

	dir    string
	faults io.Writer
}

// diskArgument tells a program to be the server of a Disk.
const diskArgument = "serve-disk"

// MountDisk mounts a disk at dir that shows the directory backing. The program
// of this process must call ServeDisk when it starts. It takes root's privileges.
func MountDisk(backing, dir string) (*Disk, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := Command(self, diskArgument, backing, dir)
	faults, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p, err := Launch(cmd)
	if err != nil {
		return nil, err
	}
	d := &Disk{p, dir, faults}
	if _, err := p.AwaitMsg(startTime, 0, "serving"); err != nil {
		d.Unmount()
		return nil, fmt.Errorf("mount a disk: %w", err)
	}
	return d, nil
}

// DisksWork returns why this machine has no disks, or nil.
func DisksWork() error {
	dir, err := os.MkdirTemp("", "scout-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is empty
	d, err := MountDisk("/", dir)
	if err == nil {
		d.Unmount()
	}
	return err
}

// Set has the disk misbehave from now on. The disk must not be paused.
func (d *Disk) Set(f DiskFaults) error {
	from := len(d.Events())
	if err := json.NewEncoder(d.faults).Encode(f); err != nil {
		return err
	}
	_, err := d.AwaitMsg(stopTime, from, "set")
	return err
}

// Unmount removes the disk, whatever state it is in.
func (d *Disk) Unmount() {
	d.Kill()                   // and with that all requests fail
	Run("umount", "-l", d.dir) //nolint:errcheck // it may not be mounted
}

// SmallDisk is a file system of a few MiB in memory, in a mount namespace of its own:
// it fills up without harm to anybody outside.
type SmallDisk struct {
	*Process // keeps the namespace

	dir string
}

// MountSmallDisk mounts a file system of so many MiB at dir, for programs that Enter
// the namespace. That takes root's privileges.
func MountSmallDisk(dir string, mebibytes int) (*SmallDisk, error) {
	mount := fmt.Sprintf(`mkdir -p "$0" && mount -t tmpfs -o size=%dm tmpfs "$0" && echo '{"msg":"serving"}' >&2 && exec sleep infinity`, mebibytes)
	p, err := Start("unshare", "--mount", "sh", "-c", mount, dir)
	if err != nil {
		return nil, err
	}
	d := &SmallDisk{p, dir}
	if _, err := p.AwaitMsg(startTime, 0, "serving"); err != nil {
		d.Kill()
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	return d, nil
}

// Enter returns the beginning of a command that is to use the disk.
func (d *SmallDisk) Enter() []string {
	return []string{"nsenter", "--mount", "--target", strconv.Itoa(d.Process.Process.Pid)}
}

// filler is the file that takes the room of a full disk.
func (d *SmallDisk) filler() string {
	return fmt.Sprintf("/proc/%d/root%s/filler", d.Process.Process.Pid, d.dir)
}

// Fill leaves no room on the disk.
func (d *SmallDisk) Fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // what it has is of no use
	for block := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(block)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return fmt.Errorf("fill a disk: %w", err)
}

// Empty undoes Fill.
func (d *SmallDisk) Empty() error { return os.Remove(d.filler()) }

// ServeDisk serves a disk and does not return, when this process was started by
// MountDisk. Programs that mount disks call it first.
func ServeDisk() {
	if len(os.Args) != 4 || os.Args[1] != diskArgument {
		return
	}
	if err := serveDisk(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveDisk(backing, dir string) error {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return err
	}
	var never time.Duration // the kernel must not remember what it was told
	d := &faultyDisk{RawFileSystem: fs.NewNodeFS(root, &fs.Options{EntryTimeout: &never, AttrTimeout: &never})}
	server, err := fuse.NewServer(d, dir, &fuse.MountOptions{DirectMountStrict: true, DisableReadDirPlus: true, FsName: "faulty", Name: "faulty"})
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, `{"msg":"serving"}`)
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		var f DiskFaults
		if err := json.Unmarshal(commands.Bytes(), &f); err != nil {
			return err
		}
		d.set(f)
		fmt.Fprintln(os.Stderr, `{"msg":"set"}`)
	}
	return nil
}

// faultyDisk is a file system whose requests pass a fault first.
type faultyDisk struct {
	fuse.RawFileSystem

	mu     sync.Mutex
	faults DiskFaults
}

func (d *faultyDisk) set(f DiskFaults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// delay waits as long as a request takes, and returns the faults.
func (d *faultyDisk) delay() DiskFaults {
	d.mu.Lock()
	f := d.faults
	d.mu.Unlock()
	time.Sleep(f.Delay)
	return f
}

// frozenTime is when everything was changed, says a disk whose times never move.
const frozenTime = 1_000_000_000

func (f DiskFaults) freeze(a *fuse.Attr) {
	if f.Frozen {
		a.Mtime, a.Ctime, a.Atime = frozenTime, frozenTime, frozenTime
		a.Mtimensec, a.Ctimensec, a.Atimensec = 0, 0, 0
	}
}

func (d *faultyDisk) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f := d.delay()
	status := d.RawFileSystem.Lookup(cancel, header, name, out)
	f.freeze(&out.Attr)
	return status
}

func (d *faultyDisk) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f := d.delay()
	status := d.RawFileSystem.GetAttr(cancel, in, out)
	f.freeze(&out.Attr)
	return status
}

// Statx has the kernel ask for the attributes instead.
func (d *faultyDisk) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS
}

func (d *faultyDisk) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	d.delay()
	return d.RawFileSystem.OpenDir(cancel, in, out)
}

func (d *faultyDisk) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if d.delay().Failing {
		return fuse.EIO
	}
	return d.RawFileSystem.ReadDir(cancel, in, out)
}

func (d *faultyDisk) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	d.delay()
	return d.RawFileSystem.Readlink(cancel, header)
}
