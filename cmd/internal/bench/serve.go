//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	byFiles  = growth{overFiles, []point{{10_000, 10}, {100_000, 10}, {1_000_000, 10}, {10_000_000, 10}}}
	byScouts = growth{overScouts, []point{{1_000_000, 1}, {1_000_000, 10}, {1_000_000, 100}, {1_000_000, 1000}}}

	tenHosts = point{1_000_000, 10}
	few      = point{20_000, 10}
)

const staticFile = "nginx, the same bytes as a static file, its best setting"

var serveRows = []row{
	{
		name: "`/files`, unchanged", reference: staticFile, at: tenHosts, small: few,
		growth: []growth{byFiles, byScouts}, run: unchanged(alike),
		how: "Scouts of hosts of one kind: all have the same names. One client asks for the whole list again and again, " +
			"of scoutmaster and nginx in turn, and throws away what it gets. It reads 64 KiB at once, which is between Go's io.Copy " +
			"and curl. nginx's best setting is the better of `sendfile` and of large buffers without it.",
	},
	{
		name: "`/files`, one file changed before each request", reference: staticFile, at: tenHosts, small: few,
		growth: []growth{byFiles, byScouts}, run: changed(alike, 0.8),
		how: "A scout adds a file, and when that shows, the whole list is asked for.",
	},
	{
		name: "`/files`, 8 clients at once", reference: "nginx as installed (sendfile)", at: tenHosts, small: few,
		growth: []growth{byFiles}, run: manyClients,
		how: "Each client asks for the whole list again and again, all at the same time. The memory is the scoutmaster's peak meanwhile, " +
			"above what it had before anybody had asked.",
	},
	{
		name: "`/files` with gzip", reference: "nginx, gzip on the fly, level 1", at: tenHosts, small: few,
		growth: []growth{byFiles}, run: compressed(false),
		how: "One client that accepts gzip asks for the whole list; what comes is checked to be the list. " +
			"Throughput counts the bytes of the list before compression.",
	},
	{
		name: "`/files` with gzip, one file changed before each request", reference: "nginx, gzip on the fly, level 1", at: tenHosts, small: few,
		run: compressed(true),
		how: "As above, but each time a scout has added a file.",
	},
	{
		name: "`/files`, unchanged, each scout's names apart", reference: staticFile, at: tenHosts, small: few,
		run: unchanged(apart),
		how: "The same with scouts whose names share no directory.",
	},
}

var interleavedRows = []row{
	{
		name: "`/files` of scouts whose names interleave at random", reference: staticFile,
		at: point{1_000_000, 1000}, small: point{20_000, 100},
		growth: []growth{byScouts}, run: changed(interleaved, 0.6),
		how: "A scout adds a file, and when that shows, the whole list is asked for. No two neighbours in the list are of one scout.",
	},
}

// unchanged is the list, asked for again and again.
func unchanged(m mix) measurement {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		s, n, err := l.contest(ctx, p, m)
		if err != nil {
			return res, err
		}
		r, err := raceStatic(ctx, l, s, n, nil)
		if err != nil {
			return res, err
		}
		best := r.add(&res, n.size, 0.8)
		res.add(figure{
			name: "first byte", unit: seconds, value: r.scout.first(), reference: best.first(),
			bound: atMost(1e-3),
		})
		return res, nil
	}
}

// changed is the list after each change.
func changed(m mix, least float64) measurement {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		s, n, err := l.contest(ctx, p, m)
		if err != nil {
			return res, err
		}
		change, done, err := s.changer(ctx)
		if err != nil {
			return res, err
		}
		defer done()
		r, err := raceStatic(ctx, l, s, n, change)
		if err != nil {
			return res, err
		}
		r.add(&res, n.size, least)
		return res, nil
	}
}

// contest is a master with played scouts, and nginx with the same list.
func (l *lab) contest(ctx context.Context, p point, m mix) (*stage, *nginx, error) {
	s, err := l.staged(ctx, p, m)
	if err != nil {
		return nil, nil, err
	}
	n, err := l.peer(ctx, s)
	return s, n, err
}

// fetches is how often to fetch a list of so many bytes.
func (l *lab) fetches(size int64) int {
	full := min(101, max(7, int(2<<30/max(1, size))))
	return l.rounds(full, 5)
}

// staticRace is how fast the list came from whom.
type staticRace struct{ scout, sendfile, buffered answers }

func raceStatic(ctx context.Context, l *lab, s *stage, n *nginx, before func() error) (r staticRace, err error) {
	got, err := race(ctx, l.fetches(n.size), before,
		request{addr: s.master.HTTP, path: "/files", least: n.size},
		request{addr: n.sendfile, path: list, least: n.size},
		request{addr: n.buffered, path: list, least: n.size})
	if err != nil {
		return r, err
	}
	return staticRace{got[0], got[1], got[2]}, nil
}

// add adds the throughput and returns the answers of nginx's best setting.
func (r staticRace) add(res *result, size int64, least float64) answers {
	best, setting := r.sendfile, "`sendfile on`"
	if r.buffered.whole() < r.sendfile.whole() {
		best, setting = r.buffered, "`sendfile off; output_buffers 2 512k`"
	}
	res.add(figure{
		name: "throughput", unit: bytesPerSec, bound: atLeastTimes(least),
		value: float64(size) / r.scout.whole(), reference: float64(size) / best.whole(),
	})
	res.note("In their best rounds it was %s against %s, %s ×.", bytesPerSec.format(float64(size)/r.scout.best()),
		bytesPerSec.format(float64(size)/best.best()), digits(best.best()/r.scout.best()))
	res.note("The list is %s. nginx's best setting was %s; with `sendfile` it served %s.",
		byteCount.format(float64(size)), setting, bytesPerSec.format(float64(size)/r.sendfile.whole()))
	return best
}

// changer returns a function that changes a file and waits until that shows.
func (s *stage) changer(ctx context.Context) (change func() error, done func(), err error) {
	a, err := newAsker(ctx, s.master.HTTP)
	if err != nil {
		return nil, nil, err
	}
	return func() error { return s.change(a) }, a.close, nil
}

// manyClients is the list for several clients at once.
func manyClients(ctx context.Context, l *lab, p point) (res result, err error) {
	s, n, err := l.contest(ctx, p, alike)
	if err != nil {
		return res, err
	}
	if err := s.master.ResetPeak(); err != nil {
		return res, err
	}
	ours, theirs, err := crowds(ctx, l, s, n, readSize)
	if err != nil {
		return res, err
	}
	peak, err := s.master.Peak()
	if err != nil {
		return res, err
	}
	ourGulps, theirGulps, err := crowds(ctx, l, s, n, gulp)
	res.add(
		figure{name: "throughput", unit: bytesPerSec, value: ours, reference: theirs, bound: atLeastTimes(0.8)},
		figure{name: "throughput when 1 MiB is read at once", unit: bytesPerSec, value: ourGulps, reference: theirGulps},
		figure{name: "memory over idle", unit: byteCount, value: float64(peak - s.idle), bound: atMost(100 << 20)},
	)
	return res, err
}

// gulp is how much a client takes at once that is in a hurry.
const gulp = 1 << 20

// crowds returns the bytes a second that several clients get together of
// scoutmaster and of nginx, asked in turn.
func crowds(ctx context.Context, l *lab, s *stage, n *nginx, read int) (ours, theirs float64, err error) {
	const clients = 8
	each := max(1, l.fetches(n.size)/clients)
	var rates [2][]float64
	for range l.rounds(9, 2) {
		for i, r := range []request{
			{addr: s.master.HTTP, path: "/files", least: n.size},
			{addr: n.sendfile, path: list, least: n.size},
		} {
			rate, err := crowd(ctx, clients, each, read, r)
			if err != nil {
				return 0, 0, err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	return median(rates[0]), median(rates[1]), nil
}

// crowd returns the bytes a second that several clients get together.
func crowd(ctx context.Context, clients, each, read int, r request) (float64, error) {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error {
			buf := make([]byte, read)
			for range each {
				if _, err := r.fetch(ctx, buf); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(int64(clients*each)*r.least) / time.Since(began).Seconds(), err
}

const acceptGzip = "Accept-Encoding: gzip\r\n"

// compressed is the compressed list, after each change if there are any.
func compressed(changes bool) measurement {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		s, n, err := l.contest(ctx, p, alike)
		if err != nil {
			return res, err
		}
		size, err := checkGzip(ctx, s)
		if err != nil {
			return res, err
		}
		var change func() error
		if changes {
			var done func()
			if change, done, err = s.changer(ctx); err != nil {
				return res, err
			}
			defer done()
		}
		got, err := race(ctx, min(15, l.fetches(n.size)), change,
			request{addr: s.master.HTTP, path: "/files", header: acceptGzip, least: size / 2},
			request{addr: n.gzip, path: list, header: acceptGzip})
		if err != nil {
			return res, err
		}
		res.add(figure{
			name: "throughput", unit: bytesPerSec, bound: atLeastTimes(10),
			value: float64(n.size) / got[0].whole(), reference: float64(n.size) / got[1].whole(),
		})
		res.note("Of %s, scoutmaster sends %s and nginx %s.", byteCount.format(float64(n.size)),
			byteCount.format(float64(got[0][0].size)), byteCount.format(float64(got[1][0].size)))
		return res, nil
	}
}

// checkGzip makes sure that the compressed list is the list, and returns how
// many bytes it takes.
func checkGzip(ctx context.Context, s *stage) (size int64, err error) {
	plain, _, err := sumOf(ctx, s, "", func(r io.Reader) (io.Reader, error) { return r, nil })
	if err != nil {
		return 0, err
	}
	unpacked, size, err := sumOf(ctx, s, "gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
	if err != nil {
		return 0, err
	}
	if plain != unpacked {
		return 0, fmt.Errorf("the compressed list is not the list")
	}
	return size, nil
}

// sumOf returns a check sum of the list, and how many bytes it took to send.
func sumOf(ctx context.Context, s *stage, encoding string, open func(io.Reader) (io.Reader, error)) (sum uint32, size int64, err error) {
	r, err := fetchList(ctx, s.master.HTTP, encoding)
	if err != nil {
		return 0, 0, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	if got := r.Header.Get("Content-Encoding"); got != encoding {
		return 0, 0, fmt.Errorf("GET /files: the encoding is %q, not %q", got, encoding)
	}
	counted := &counter{Reader: r.Body}
	text, err := open(counted)
	if err != nil {
		return 0, 0, err
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(h, text)
	return h.Sum32(), counted.n, err
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

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
