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
	var askers [2]*asker
	for i, s := range []*stage{large, small} {
		if askers[i], err = newAsker(ctx, s.master.HTTP); err != nil {
			return res, err
		}
		defer askers[i].close()
	}
	var took [2][]time.Duration
	for n := range l.rounds(1000, 100) {
		for i, a := range askers {
			d, err := a.hundred(n % p.scouts)
			if err != nil {
				return res, err
			}
			took[i] = append(took[i], d)
		}
	}
	res.add(figure{
		name: "p50", unit: seconds, bound: atMostTimes(3),
		value: median(inSeconds(took[0])), reference: median(inSeconds(took[1])),
	})
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
