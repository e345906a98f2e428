//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"scout/cmd/internal/testfleet"
)

// converge waits until the list is what find says, now that nothing happens any
// more, and returns how it differs when it does not become that. What the model
// says must be what find says, too.
func (e *epoch) converge() error {
	want := make([][]string, len(e.scouts))
	for i, s := range e.scouts {
		found, err := find(s.tree.path)
		if err != nil {
			return err
		}
		for _, name := range found {
			if s.tree.listed(name) {
				want[i] = append(want[i], name)
			}
		}
		var model []string
		for _, n := range s.tree.names(s.tree.root, ".") {
			model = append(model, string(n.Path))
		}
		slices.Sort(model)
		if err := same("the model", model, "find", want[i]); err != nil {
			return fmt.Errorf("scout %d: %w", i, err)
		}
	}
	limit := time.Now().Add(e.bounds.Recovery + e.bounds.Late)
	for {
		err := e.compareList(want)
		if err == nil || time.Now().After(limit) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (e *epoch) compareList(want [][]string) error {
	c := consumer{address: e.master.http, client: http.Client{Timeout: e.bounds.Answer}}
	a, err := c.get(context.Background())
	if err != nil {
		return err
	}
	entries, err := parse(a.body)
	if err != nil {
		return err
	}
	total := 0
	for i, s := range e.scouts {
		if err := same("the list", of(entries, s), "find", want[i]); err != nil {
			return fmt.Errorf("in the end, scout %d in %s: %w%s%s", i, s.tree.path, err, s.tail(), e.master.tail())
		}
		total += len(want[i])
	}
	if total != len(entries) {
		return fmt.Errorf("in the end %d entries are listed, find has %d", len(entries), total)
	}
	return nil
}

// of returns the names that are listed of a scout.
func of(entries []testfleet.Entry, s *scout) (names []string) {
	for _, e := range entries {
		if e.Host == s.host && e.Dir() == s.tree.path {
			names = append(names, e.Name())
		}
	}
	return names
}

// find returns all that is not a directory, in order.
func find(dir string) ([]string, error) {
	out, err := exec.CommandContext(context.Background(), "find", dir, "!", "-type", "d", "-printf", `%P\0`).Output()
	if err != nil || len(out) == 0 {
		return nil, err
	}
	names := strings.Split(string(bytes.TrimSuffix(out, []byte{0})), "\x00")
	slices.Sort(names)
	return names, nil
}

// same says how two sorted lists differ.
func same(a string, as []string, b string, bs []string) error {
	if slices.Equal(as, bs) {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(bs), func(s string) bool { return slices.Contains(as, s) })
	extra := slices.DeleteFunc(slices.Clone(as), func(s string) bool { return slices.Contains(bs, s) })
	return fmt.Errorf("%s has %d names, %s %d: %s lacks %d: %.300q; has %d too many: %.300q",
		a, len(as), b, len(bs), a, len(missing), missing, len(extra), extra)
}
