//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

var (
	burst      = point{files: 100_000}
	smallBurst = point{files: 10_000}
	byBurst    = growth{overFiles, []point{{files: 1_000}, {files: 10_000}, {files: 100_000}, {files: 1_000_000}}}
)

var burstRows = append([]row{
	{
		name: "files created at once → list exact, after the last one", at: burst, small: smallBurst,
		growth: []growth{byBurst}, run: burstInOne,
		how: "Files are made in one directory, in memory where there is a tmpfs, as fast as one thread can make them. From the end of the last system call to the list having " +
			"all of them, which is then counted. They are removed again and made again; the scout's peak memory must have come to rest by the second time.",
	},
}, rowsOf(func(s shape) row {
	return row{
		name: "files created at once in new directories → list exact, " + s.name, at: burst, small: smallBurst, run: burstInMany(s),
		how: "As above, but the files are in directories that were made for them a moment before, and that have paths of their own each time. " +
			"The scout's memory with the list of the last time must be what it was with that of the second time, whatever has come and gone between.",
	}
})...)

func burstInOne(ctx context.Context, l *lab, p point) (result, error) {
	b, err := bursts(ctx, l, p, func(dir string) error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		return makeFiles(dir, "file", 0, p.files)
	})
	if err != nil {
		return result{}, err
	}
	res := b.result()
	res.add(growthOf("scout's peak memory", b.peaks))
	return res, nil
}

func burstInMany(s shape) measurement {
	return func(ctx context.Context, l *lab, p point) (result, error) {
		b, err := bursts(ctx, l, p, func(dir string) error {
			_, err := s.make(dir, p.files)
			return err
		})
		if err != nil {
			return result{}, err
		}
		res := b.result()
		res.add(growthOf("scout's memory", b.memory))
		return res, nil
	}
}

// burstFigures are the measurements of several bursts, in order.
type burstFigures struct {
	took   []float64 // seconds
	rates  []float64 // files a second
	memory []float64 // of the scout when the files are listed, in bytes
	peaks  []float64 // the scout's peak memory so far, in bytes
}

func (b burstFigures) result() (res result) {
	res.add(figure{name: "after the last one", unit: seconds, value: median(b.took), bound: atMost(0.5)})
	res.note("The files were made at %s a second. At worst it took %s; the scout's peak was %s.",
		count(int(median(b.rates))), seconds.format(quantile(b.took, 1)), byteCount.format(b.peaks[len(b.peaks)-1]))
	return res
}

// growthOf describes how a kind of memory grew from burst to burst.
func growthOf(what string, memory []float64) figure {
	return figure{
		name: what + ", of the last time against the second", unit: times,
		value: memory[len(memory)-1] / memory[1], bound: atMost(1.25),
	}
}

// bursts makes files, waits until they are listed, removes them, and so on.
func bursts(ctx context.Context, l *lab, p point, fill func(dir string) error) (b burstFigures, err error) {
	if err := checkWatches(p.files); err != nil {
		return b, err
	}
	dir, remove, err := scratch(l.fast())
	if err != nil {
		return b, err
	}
	defer remove()
	w, err := l.watch(ctx, dir, 0)
	if err != nil {
		return b, err
	}
	for i := range l.rounds(6, 3) {
		making, took, err := w.burst(p.files, func() error { return fill(filepath.Join(dir, fmt.Sprintf("burst-%d", i))) })
		if err != nil {
			return b, err
		}
		memory, err := w.scout.Resident()
		if err != nil {
			return b, err
		}
		peak, err := w.scout.Peak()
		if err != nil {
			return b, err
		}
		b.took = append(b.took, took.Seconds())
		b.rates = append(b.rates, float64(p.files)/making.Seconds())
		b.memory = append(b.memory, float64(memory))
		b.peaks = append(b.peaks, float64(peak))
		if err := w.clear(i); err != nil {
			return b, err
		}
	}
	return b, nil
}

// burst returns how long it took to make files, and how long after the last the
// list had all of them.
func (w *watched) burst(files int, fill func() error) (making, after time.Duration, err error) {
	began := time.Now()
	if err := fill(); err != nil {
		return 0, 0, err
	}
	made := time.Now()
	at, err := w.synced(files)
	if err != nil {
		return 0, 0, err
	}
	list, err := w.master.Get("/files")
	if err != nil {
		return 0, 0, err
	}
	if n := bytes.Count(list, []byte("\n{")); n != files {
		return 0, 0, fmt.Errorf("%d files are listed, want %d", n, files)
	}
	return made.Sub(began), max(0, at.Sub(made)), nil
}

// clear removes the files of a burst, and waits until that is listed.
func (w *watched) clear(i int) error {
	if err := os.RemoveAll(filepath.Join(w.dir, fmt.Sprintf("burst-%d", i))); err != nil {
		return err
	}
	_, err := w.synced(0)
	return err
}
