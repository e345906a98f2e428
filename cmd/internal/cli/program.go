// Package cli is the command line of both programs: flags, environment
// variables, help and exit codes. The library urfave/cli does most of
// it. This package adds the contract: every mistake is one line of the log,
// with its cause and cure.
//
// A main declares a [Program] and calls [Main].
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"scout/cmd/internal/logging"
	"scout/cmd/internal/signals"
)

const (
	exitOK    = 0
	exitError = 1 // Run failed
	exitUsage = 2 // the command line or the environment is wrong

	// flushTime bounds how long a program that ends waits for its log's reader.
	flushTime = 200 * time.Millisecond
)

// Program is a command line program.
type Program struct {
	Name        string
	Synopsis    string // the required flags, for the first line of the help
	Summary     string // one line
	Description string // introduction for a new user, in lines of at most 80 columns
	Examples    []struct{ Command, Meaning string }
	EnvPrefix   string // of the environment variables
	Flags       []Flag

	// Check checks the flags together, once each has its value. It may be nil.
	Check func() error

	// Status, if any, shows progress while Run runs.
	Status *logging.Status

	// Reload is called for each SIGHUP while Run runs. It may be nil.
	Reload func()

	// Probe returns nil if the program that runs with the same flags is ready. If it is
	// not nil, the program has the flag -probe, which calls it instead of Run. Required
	// flags may then be missing, and Check is not called.
	Probe func(ctx context.Context) error

	// Run does the work. It is called once all flags have their values. It
	// returns nil after ctx is cancelled and everything is closed.
	Run func(ctx context.Context, log *zap.Logger) error

	probing *bool // the value of -probe; nil until the program is complete
}

// Main runs the program as this process and exits. It does not return.
func Main(p Program) {
	os.Exit(p.main(os.Args[1:], system{
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		signals:  signals.Notify(),
		exit:     os.Exit,
	}))
}

// system is what a program uses of the operating system. Tests bring their own.
type system struct {
	stdout, stderr io.Writer
	terminal       bool // stderr is a terminal
	signals        <-chan os.Signal
	exit           func(code int)
}

// logOptions are the flags of the log.
type logOptions struct {
	level  zapcore.Level
	format logging.Format
}

const logFormatFlag = "log-format"

func (o *logOptions) flags(terminal bool) []Flag {
	return []Flag{
		{
			Name: "log-level", Value: "LEVEL", Default: "info", Choices: logging.Levels, Set: To(&o.level, logging.ParseLevel),
			Usage: "the least level that is logged, on standard error: debug, info, warn or error",
		},
		{
			Name: logFormatFlag, Value: "FORMAT", Choices: logging.Formats, Set: To(&o.format, logging.ParseFormat),
			Default: string(logging.DefaultFormat(terminal)), DefaultText: "console on a terminal, else json",
			Usage: "the format of the log: json (one object a line) or console (for people)",
		},
	}
}

// complete is the program with the flags that every program has, and with each
// flag's Env, DefaultText and Choices.
func (p Program) complete(logs *logOptions, terminal bool) Program {
	p.Flags = append(slices.Clone(p.Flags), logs.flags(terminal)...)
	p.probing = new(bool)
	if p.Probe != nil {
		p.Flags = append(p.Flags, Flag{
			Name: "probe", Default: "false", Set: To(p.probing, OnOff),
			Usage: "ask the " + p.Name + " that runs here with the same flags or variables whether it is ready, and exit with 0 or 1",
		})
	}
	for i, f := range p.Flags {
		p.Flags[i].Env = cmp.Or(f.Env, p.EnvPrefix+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")))
		p.Flags[i].DefaultText = cmp.Or(f.DefaultText, f.Default)
		if f.OnOff() {
			p.Flags[i].Choices = []string{"true", "false"}
		}
	}
	return p
}

// AllFlags are the flags of the program, complete as its help shows them.
func (p Program) AllFlags() []Flag { return p.complete(new(logOptions), false).Flags }

// main is the whole life of the process and returns its exit code.
func (p Program) main(args []string, sys system) int {
	out := logging.NewWriter(sys.stderr)
	defer out.Close(flushTime)
	logs, code := logOptions{}, exitOK
	p = p.complete(&logs, sys.terminal)
	err := p.execute(args, sys.stdout, func() error {
		log := logging.New(p.Status.Attach(out, sys.terminal, logs.format), logs.format, logs.level)
		logging.RedirectGRPC(log)
		if *p.probing {
			p.Run = p.ask(sys.stdout)
		}
		code = p.run(log, out, sys)
		return nil
	})
	if err != nil {
		logging.New(out, p.formatInForce(args, sys.terminal), zapcore.InfoLevel).Error("wrong usage", zap.Error(err))
		return exitUsage
	}
	return code
}

// formatInForce is the format for an error about the command line or the
// environment: the one that they ask for, if it can be found.
func (p Program) formatInForce(args []string, terminal bool) logging.Format {
	f, _ := p.flagOf("-" + logFormatFlag)
	asked := os.Getenv(f.Env)
	for _, arg := range p.normalize(args) {
		if value, ok := strings.CutPrefix(arg, "-"+logFormatFlag+"="); ok {
			asked = value
		}
	}
	if format, err := logging.ParseFormat(asked); err == nil {
		return format
	}
	return logging.DefaultFormat(terminal)
}

// ask returns a Run that calls Probe.
func (p Program) ask(stdout io.Writer) func(context.Context, *zap.Logger) error {
	return func(ctx context.Context, _ *zap.Logger) error {
		err := p.Probe(ctx)
		if err == nil {
			fmt.Fprintln(stdout, "ready") //nolint:errcheck // the exit code says it too
		}
		return err
	}
}

// run calls Run and returns the exit code.
func (p Program) run(log *zap.Logger, out *logging.Writer, sys system) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go signals.Handle(sys.signals, log, p.Reload, cancel, func(code int) {
		p.Status.Show("")
		out.Close(flushTime)
		sys.exit(code)
	})
	err := p.Run(ctx, log)
	p.Status.Show("")
	told := ctx.Err() != nil
	if err == nil || told && errors.Is(err, context.Canceled) {
		return exitOK
	}
	log.Error("failed", zap.Error(err))
	return exitError
}
