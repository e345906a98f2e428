// Command demo shows Scout at work on this machine: a scoutmaster, a scout on a
// real directory, and the list printed as files come and go.
//
// With a directory as its argument it follows that directory until it is
// interrupted. Otherwise it makes a directory and changes it in several ways. With
// -fleet it shows three scoutmasters that share one list, and kills one.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"scout/cmd/internal/testfleet"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	programs := testfleet.Programs{Scout: "cmd/scout/scout", Scoutmaster: "cmd/scoutmaster/scoutmaster"}
	if len(args) > 0 && args[0] == "-fleet" {
		return showFleet(programs)
	}
	master, err := programs.StartMaster()
	if err != nil {
		return err
	}
	defer master.Kill()
	fmt.Printf("$ scoutmaster          # scouts: %s, list: http://%s/files, page: http://%[2]s/\n", master.GRPC, master.HTTP)
	if len(args) > 0 {
		return follow(programs, master, args[0])
	}
	dir, err := os.MkdirTemp("", "scout-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the directory for temporary files
	return play(programs, master, dir)
}

// startScout starts a scout and waits until its files are listed.
func startScout(programs testfleet.Programs, master *testfleet.Master, dir string) (*testfleet.Process, error) {
	fmt.Printf("$ scout -dir %s -master %s\n", dir, master.GRPC)
	scout, err := programs.StartScout(master.GRPC, dir)
	if err != nil {
		return nil, err
	}
	if _, err := scout.AwaitMsg(time.Minute, 0, "snapshot sent"); err != nil {
		return nil, err
	}
	return scout, nil
}

// follow prints the changes of a user's directory until it is interrupted.
func follow(programs testfleet.Programs, master *testfleet.Master, dir string) error {
	scout, err := startScout(programs, master, dir)
	if err != nil {
		return err
	}
	defer scout.Kill()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	fmt.Println("Create and remove files there. Ctrl-C stops the demo.")
	list := newList(master)
	for {
		if err := list.show(); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// play changes a directory and prints the changes of the list.
func play(programs testfleet.Programs, master *testfleet.Master, dir string) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("app.log"), nil, 0o600); err != nil {
		return err
	}
	scout, err := startScout(programs, master, dir)
	if err != nil {
		return err
	}
	defer scout.Kill()
	list := newList(master)
	for _, step := range []struct {
		what    string
		do      func() error
		changes int
	}{
		{"(the file that was there)", func() error { return nil }, 1},
		{"touch new.txt", func() error { return os.WriteFile(at("new.txt"), nil, 0o600) }, 1},
		{"mkdir -p logs/2026; touch logs/2026/app.log", func() error {
			if err := os.MkdirAll(at("logs/2026"), 0o700); err != nil {
				return err
			}
			return os.WriteFile(at("logs/2026/app.log"), nil, 0o600)
		}, 1},
		{"ln -s /etc/hosts link", func() error { return os.Symlink("/etc/hosts", at("link")) }, 1},
		{"mv logs old", func() error { return os.Rename(at("logs"), at("old")) }, 2},
		{"rm -r old", func() error { return os.RemoveAll(at("old")) }, 1},
		{"kill -9 scout", scout.Process.Kill, 3},
	} {
		fmt.Printf("$ %s\n", step.what)
		began := time.Now()
		if err := step.do(); err != nil {
			return err
		}
		if err := list.await(step.changes, began); err != nil {
			return err
		}
	}
	return nil
}

// list is the list of a master as of the last request.
type list struct {
	master *testfleet.Master
	known  map[testfleet.Entry]bool
}

func newList(m *testfleet.Master) *list { return &list{m, map[testfleet.Entry]bool{}} }

// show requests the list and prints what has changed.
func (l *list) show() error {
	_, err := l.changes("")
	return err
}

// await requests the list until this number of entries has changed.
func (l *list) await(changes int, since time.Time) error {
	for changes > 0 {
		n, err := l.changes(fmt.Sprintf("  (after %s)", time.Since(since).Round(100*time.Microsecond)))
		if err != nil {
			return err
		}
		changes -= n
		if time.Since(since) > 10*time.Second {
			return fmt.Errorf("%d expected changes did not arrive", changes)
		}
	}
	return nil
}

func (l *list) changes(note string) (n int, err error) {
	entries, err := l.master.Files()
	if err != nil {
		return 0, err
	}
	now := make(map[testfleet.Entry]bool, len(entries))
	for _, e := range entries {
		now[e] = true
		if !l.known[e] {
			fmt.Printf("    + %-20q on %s in %s%s\n", e.Filename, e.Host, e.Directory, note)
			n++
		}
	}
	for e := range l.known {
		if !now[e] {
			fmt.Printf("    - %-20q on %s in %s%s\n", e.Filename, e.Host, e.Directory, note)
			n++
		}
	}
	l.known = now
	return n, nil
}
