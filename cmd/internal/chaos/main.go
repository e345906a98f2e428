//go:build linux

// Command chaos looks for violations of the promises of Scout. It runs the real
// programs on real directories, changes files, processes and connections at random,
// and records the lists that consumers receive. Package history checks each list
// against the true state of the directories at that time.
//
// It knows what users see and what operators do. It must not know how the programs
// work inside.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

func main() {
	testfleet.ServeDisk()
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	seed   uint64
	time   time.Duration
	run    time.Duration
	scouts int
	scale  float64
	race   bool
	fleet  bool
	check  string
}

func command() error {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "of the first run; the next has the next")
	flag.DurationVar(&o.time, "time", time.Hour, "how long to look for violations")
	flag.DurationVar(&o.run, "run", time.Minute, "how long one fleet has faults")
	flag.IntVar(&o.scouts, "scouts", 8, "how many scouts there are")
	flag.Float64Var(&o.scale, "scale", 2, "of all bounds: more for a slow or busy machine")
	flag.BoolVar(&o.race, "race", false, "build the programs with the race detector")
	flag.BoolVar(&o.fleet, "fleet", false, "several masters in each run, not in every other one")
	flag.StringVar(&o.check, "check", "", "judge a history that was recorded, and nothing else")
	flag.Parse()
	if o.check != "" {
		return again(o.check)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return o.play(ctx)
}

// play makes runs until the time is over or a violation was found.
func (o options) play(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "scout-chaos-programs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it lies in the directory for temporary files
	var flags []string
	if o.race {
		flags = append(flags, "-race")
	}
	programs, err := testfleet.Build(dir, flags...)
	if err != nil {
		return err
	}
	noNamespaces, noLimits, noDisks := testfleet.NamespacesWork(), limitsWork(), testfleet.DisksWork()
	skip("disks that hang and crawl", noDisks)
	skip("network namespaces", noNamespaces)
	skip("exhausted watch limits", noLimits)
	noRivals := rivalsWork()
	skip("rivals in mount namespaces", noRivals)
	nats, err := natsserver.Build(dir)
	if err != nil {
		return err
	}

	total := new(figures)
	for began, seed := time.Now(), o.seed; time.Since(began) < o.time && ctx.Err() == nil; seed++ {
		p := plan{
			programs: programs, seed: seed, scouts: o.scouts, scale: o.scale,
			faults: min(o.run, max(time.Second, o.time-time.Since(began))), calm: o.run / 4, rest: 2 * history.Usual(0, 0, o.scale).Recovery,
			namespaces: noNamespaces == nil && seed%3 == 0, master: seed%2 == 0, limits: noLimits == nil && seed%4 == 1, disks: noDisks == nil,
			history: filepath.Join(os.TempDir(), fmt.Sprintf("scout-chaos-%d.jsonl", seed)),
		}
		if o.fleet || seed%2 == 1 {
			p = p.shared(nats)
			p.rivals = noRivals == nil
		}
		r, err := p.play(ctx)
		if err != nil {
			return fmt.Errorf("SEED=%d: %w", seed, err)
		}
		fmt.Println(p, r)
		total.add(r)
		if err := r.wrong(p); err != nil {
			fmt.Println(total)
			return err
		}
		os.Remove(p.history) //nolint:errcheck // nobody needs it
	}
	fmt.Println(total)
	return nil
}

// shared returns the plan for several masters that share the list. Scouts reach all
// of them over loopback.
func (p plan) shared(nats string) plan {
	p.nats, p.namespaces, p.master = nats, false, false
	return p
}

// skip reports on standard error what is not tested.
func skip(what string, why error) {
	if why != nil {
		fmt.Printf("SKIPPED: %s: %v\n", what, why)
	}
}

func (p plan) String() string {
	var with []string
	for what, on := range map[string]bool{"namespaces": p.namespaces, "master": p.master, "fleet": p.nats != "", "limits": p.limits, "disks": p.disks, "rivals": p.rivals} {
		if on {
			with = append(with, what)
		}
	}
	slices.Sort(with)
	return fmt.Sprintf("SEED=%d [%s]", p.seed, strings.Join(with, " "))
}

func (r result) String() string {
	return fmt.Sprintf("%d operations, %d lists, %d names checked, slowest %s, faults %v, %d violations, %d complaints",
		r.operations, r.lists, r.checker.Checked, r.checker.Worst.Round(time.Millisecond), r.faults, len(r.violations), len(r.complaints))
}

// wrong returns the shortest excerpt of a run that shows a violation, or nil.
func (r result) wrong(p plan) error {
	if len(r.violations)+len(r.complaints) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d violations and %d complaints; again with make chaos SEED=%d; the history is %s",
		len(r.violations), len(r.complaints), p.seed, p.history)
	for _, v := range r.violations[:min(3, len(r.violations))] {
		fmt.Fprintf(&b, "\n%v%s", v, r.checker.Excerpt(v))
	}
	for _, c := range r.complaints[:min(5, len(r.complaints))] {
		fmt.Fprintf(&b, "\n%s", c)
	}
	return errors.New(b.String())
}

// figures are the sums of all runs.
type figures struct {
	runs, operations, lists, checked, violations int
	faults                                       map[history.Kind]int
	worst                                        time.Duration
}

func (f *figures) add(r result) {
	f.runs++
	f.operations += r.operations
	f.lists += r.lists
	f.checked += r.checker.Checked
	f.violations += len(r.violations) + len(r.complaints)
	f.worst = max(f.worst, r.checker.Worst)
	if f.faults == nil {
		f.faults = map[history.Kind]int{}
	}
	for k, n := range r.faults {
		f.faults[k] += n
	}
}

func (f *figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %d operations, %d lists, %d names checked, slowest %s, %d violations",
		f.runs, f.operations, f.lists, f.checked, f.worst.Round(time.Millisecond), f.violations)
	for _, k := range slices.Sorted(maps.Keys(f.faults)) {
		fmt.Fprintf(&b, "\n  %6d %s", f.faults[k], k)
	}
	return b.String()
}

// again checks a recorded history.
func again(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	lines := json.NewDecoder(bufio.NewReader(file))
	var b history.Bounds
	if err := lines.Decode(&b); err != nil {
		return err
	}
	checker, found := history.NewChecker(b), 0
	for {
		var e history.Event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		for _, v := range checker.Add(e) {
			found++
			fmt.Printf("%v%s\n", v, checker.Excerpt(v))
		}
	}
	fmt.Printf("%d names checked, %d violations\n", checker.Checked, found)
	return nil
}
