//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

var (
	many         = point{10_000_000, 100}
	fewOfHundred = point{10_000, 100}
	byMany       = growth{overFiles, []point{{10_000, 100}, {100_000, 100}, {1_000_000, 100}, {10_000_000, 100}}}
)

// manyRows share a master of very many names.
var manyRows = []row{
	{
		name: "`/files?prefix=…` returning 100 files", reference: "the same of 10,000 files", at: many, small: point{100_000, 100},
		growth: []growth{byMany}, run: prefix,
		how: "Over a kept-alive connection to either scoutmaster in turn, for a directory of one scout after the other.",
	},
	{
		name: "scoutmaster's memory, after serving its list", reference: "the names as Go's []string, in a process of its own",
		at: many, small: point{100_000, 100}, growth: []growth{byMany}, run: masterMemory(apart),
		how: "The whole process, resident, divided by the number of names, of some 47 bytes, after the whole list was asked for several times.",
	},
	{
		name: "the same, names of all scouts interleaved at random", reference: "the names as Go's []string, in a process of its own",
		at: many, small: point{100_000, 100}, run: masterMemory(interleaved),
		how: "As above, with names that have less in common and each of another scout than its neighbours.",
	},
}

// prefix is a small part of a large list.
func prefix(ctx context.Context, l *lab, p point) (res result, err error) {
	large, err := l.staged(ctx, p, apart)
	if err != nil {
		return res, err
	}
	small, err := l.newStage(ctx, fewOfHundred, apart)
	if err != nil {
		return res, err
	}
	defer small.close()
	ours, err := newAsker(ctx, large.master.HTTP)
	if err != nil {
		return res, err
	}
	defer ours.close()
	theirs, err := newAsker(ctx, small.master.HTTP)
	if err != nil {
		return res, err
	}
	defer theirs.close()
	var took, reference []float64
	for i := range l.rounds(1000, 100) {
		d, err := ours.hundred(i % p.scouts)
		if err != nil {
			return res, err
		}
		took = append(took, d.Seconds())
		if d, err = theirs.hundred(i % p.scouts); err != nil {
			return res, err
		}
		reference = append(reference, d.Seconds())
	}
	res.add(figure{name: "p50", unit: seconds, value: median(took), reference: median(reference), bound: atMostTimes(3)})
	return res, nil
}

// hundred asks for the files in one directory of a scout's, and returns how long
// that took.
func (a *asker) hundred(scout int) (time.Duration, error) {
	name := fmt.Sprintf("region/team-%04d/service/d00000/", scout)
	began := time.Now()
	body, err := a.ask(name)
	took := time.Since(began)
	if n := bytes.Count(body, []byte("\n{")); err == nil && n != perDirectory {
		err = fmt.Errorf("%s has %d files, want %d", name, n, perDirectory)
	}
	return took, err
}
