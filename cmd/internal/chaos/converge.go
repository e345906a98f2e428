//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"scout/cmd/internal/testfleet"
)

// converge waits until the list is what find says, now that nothing happens any
// more, and returns how it differs when it does not become that. What the model
// says must be what find says, too.
func (e *epoch) converge() error {
	want := make([][]string, len(e.scouts))
	for i, s := range e.scouts {
		found, err := testfleet.Find(s.tree.path)
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
		if err := testfleet.Diff(model, want[i]); err != nil {
			return fmt.Errorf("scout %d: the model is wrong: %w", i, err)
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
	entries, err := testfleet.ParseList(a.body)
	if err != nil {
		return err
	}
	total := 0
	for i, s := range e.scouts {
		if err := testfleet.Diff(testfleet.Names(entries, s.host, s.tree.path), want[i]); err != nil {
			return fmt.Errorf("in the end, scout %d in %s: %w\n%s\n%s", i, s.tree.path, err, s.process.Tail(), e.master.process.Tail())
		}
		total += len(want[i])
	}
	if total != len(entries) {
		return fmt.Errorf("in the end %d entries are listed, find has %d", len(entries), total)
	}
	return nil
}
