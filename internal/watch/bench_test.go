package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// benchTree returns a tree to measure on: SCOUT_BENCH_TREE, or one of 100
// directories with 100 files each.
func benchTree(b *testing.B) string {
	if dir := os.Getenv("SCOUT_BENCH_TREE"); dir != "" {
		return dir
	}
	dir := b.TempDir()
	for i := range 100 {
		sub := filepath.Join(dir, fmt.Sprintf("dir-%05d", i))
		mkdir(b, sub)
		fill(b, sub, 100)
	}
	return dir
}

func fill(tb testing.TB, dir string, n int) {
	for i := range n {
		write(tb, filepath.Join(dir, fmt.Sprintf("file-%06d.dat", i)))
	}
}

// cpuTime reports what the iterations cost all processors: on a machine that is
// shared, it says more than the time that passed.
func cpuTime(b *testing.B) func() {
	began := processTime(b)
	return func() { b.ReportMetric(float64((processTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op") }
}

func BenchmarkScan(b *testing.B) {
	for name, n := range map[string]func(*Watcher) notifier{
		"unwatched": nil,
		"watched":   realNotifier,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			dir := benchTree(b)
			defer cpuTime(b)()
			for b.Loop() {
				f := scanned(b, dir, n)
				b.ReportMetric(float64(f.set.Len()), "files")
				f.forest.claim.Release()
			}
		})
	}
}

func BenchmarkPollUnchanged(b *testing.B) {
	b.ReportAllocs()
	f := scanned(b, benchTree(b), nil)
	defer cpuTime(b)()
	for b.Loop() {
		f.rescan()
	}
}

// BenchmarkOneChange measures a rename, and what follows from its two hints.
func BenchmarkOneChange(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			dir := b.TempDir()
			fill(b, dir, n)
			f := scanned(b, dir, quietNotifier)
			defer cpuTime(b)()
			from, to := "file-000050.dat", "file-000050.new"
			for b.Loop() {
				if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
					b.Fatal(err)
				}
				f.follow(findings{names: map[string]map[string]change{"": {from: 0, to: movedHere}}})
				must(b, f.settle())
				from, to = to, from
			}
		})
	}
}

func BenchmarkRelist(b *testing.B) {
	b.ReportAllocs()
	dir := b.TempDir()
	fill(b, dir, 10_000)
	f := scanned(b, dir, nil)
	defer cpuTime(b)()
	for b.Loop() {
		f.relist(f.root)
	}
}

// BenchmarkLatency measures from before a file is renamed to after the View has
// it. To create one takes some file systems longer than all that follows.
func BenchmarkLatency(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, n)
			s := start(b, dir, modes[0].options)
			s.converge()
			var all []time.Duration
			last := "file-000000.dat"
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("file-%09d.new", i)
				began := time.Now()
				if err := os.Rename(filepath.Join(dir, last), filepath.Join(dir, name)); err != nil {
					b.Fatal(err)
				}
				last = name
				for !contains(name)(s.View()) {
					<-s.Changed()
				}
				all = append(all, time.Since(began))
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkLook measures a look that was asked for at a tree in which nothing
// has changed.
func BenchmarkLook(b *testing.B) {
	s := start(b, benchTree(b), modes[0].options)
	<-s.Rescan()
	defer cpuTime(b)()
	for b.Loop() {
		<-s.Rescan()
	}
}
