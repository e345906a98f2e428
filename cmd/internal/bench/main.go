//go:build linux

// Command bench measures the cost and the speed of Scout. Each figure stands beside a
// reference from the same run on the same machine:
//
//	go run ./cmd/internal/bench [-rows REGEXP] [-short] [-out docs/benchmarks.md]
//
// It runs the real programs. A figure about one directory uses a real directory. For a
// figure about a fleet, this process plays the scouts (with package testfleet), and the
// scoutmaster is a separate process, so that its memory and processor time are known.
//
// A row of the report is a [row]: what it measures, at which [point], and how. The
// command must not know how Scout works inside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"syscall"
)

// options are the flags.
type options struct {
	rows    *regexp.Regexp // matches the names of the rows to run
	short   bool           // small sizes, no growth, no bounds
	growth  bool           // also sizes without bounds
	out     string         // the report in Markdown, or ""
	dir     string         // where watched directories are made
	install bool           // nginx may be installed
}

// peers are references that this program is itself, each in a separate process. The
// first argument names the peer.
var peers = map[string]func(args []string) error{
	"stat":    statDirectories,
	"strings": holdStrings,
	"streams": serveStreams,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// garbagePercent is four times Go's default.
const garbagePercent = 400

func run(args []string) error {
	if len(args) > 0 && peers[args[0]] != nil {
		return peers[args[0]](args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What is played here shares the processors with what is measured.
	debug.SetGCPercent(garbagePercent)
	lab, err := openLab(o)
	if err != nil {
		return err
	}
	defer lab.close()
	return measure(ctx, lab)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	rows := flags.String("rows", "", "run only the rows whose names match this `regexp`")
	flags.BoolVar(&o.short, "short", false, "small sizes, in a minute: does every row run?")
	flags.BoolVar(&o.growth, "growth", true, "-growth=false: only the sizes that the bounds are for")
	flags.StringVar(&o.out, "out", "", "write the report to this `file`")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "make the directories to be watched in this `directory`")
	flags.BoolVar(&o.install, "install", false, "install nginx with the system's packager if it is missing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q belongs to no flag", flags.Arg(0))
	}
	var err error
	if o.rows, err = regexp.Compile(*rows); err != nil {
		return o, fmt.Errorf("flag -rows: %w", err)
	}
	return o, nil
}

// measure runs the selected rows and reports them. Its error names the rows without
// figures.
func measure(ctx context.Context, l *lab) error {
	report := newReport(l.options)
	var failed []error
	for _, t := range tasks(l.options) {
		l.log("%s: %s", t.row.name, t.point)
		res, err := t.row.run(ctx, l, t.point)
		l.endTask()
		if ctx.Err() != nil { // the rows until then are shown
			failed = append(failed, errors.New("interrupted"))
			break
		}
		if err != nil {
			l.log("%s: %s: NOT MEASURED: %v", t.row.name, t.point, err)
		}
		if !errors.Is(err, errSkipped) && err != nil {
			failed = append(failed, fmt.Errorf("%s: %s: %w", t.row.name, t.point, err))
		}
		report.add(t, res, err)
		l.logResult(res)
	}
	fmt.Print(report.table())
	if l.out != "" && ctx.Err() == nil { // half a page must not replace a whole one
		failed = append(failed, report.write(l.out))
	}
	return errors.Join(failed...)
}
