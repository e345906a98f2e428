package main

import (
	"fmt"
	"time"

	"scout/cmd/internal/testfleet"
)

// list is what the master listed when it was last asked.
type list struct {
	master *testfleet.Master
	known  map[testfleet.Entry]bool
}

func newList(m *testfleet.Master) *list { return &list{m, map[testfleet.Entry]bool{}} }

// show asks the master and prints what has changed.
func (l *list) show() error {
	_, err := l.changes("")
	return err
}

// await asks the master until so many entries have changed since then.
func (l *list) await(changes int, since time.Time) error {
	for changes > 0 {
		n, err := l.changes(fmt.Sprintf("  (after %s)", time.Since(since).Round(100*time.Microsecond)))
		if err != nil {
			return err
		}
		changes -= n
		if time.Since(since) > 10*time.Second {
			return fmt.Errorf("%d expected changes did not come", changes)
		}
	}
	return nil
}

func (l *list) changes(note string) (n int, err error) {
	entries, err := l.master.Files("")
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
