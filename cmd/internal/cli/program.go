package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Exit codes of both programs. A second signal exits with 128 and its number.
const (
	exitOK    = 0
	exitError = 1 // Run failed
	exitUsage = 2 // the command line or the environment is wrong
)

// Program is a command: what it can be told, and what it does.
type Program struct {
	Name        string
	Synopsis    string // the flags that it needs, for the first line of its help
	Summary     string // one line
	Description string // what a new user must know, in lines of at most 80 columns
	Examples    []Example
	EnvPrefix   string // of the variables that serve in place of flags
	Flags       []Flag

	// Check looks at the flags together, once each has its value. It may be nil.
	Check func() error

	// Status, if any, is what Run says on a terminal of how it is getting on.
	Status *Status

	// Run does the work. It is called once, with every flag's target filled,
	// and returns nil when ctx is cancelled and all is put away.
	Run func(ctx context.Context, log *zap.Logger) error
}

// Example is one command line of the help, and what it does.
type Example struct{ Command, Meaning string }

// Main runs the program as this process and exits. It does not return.
func Main(p Program) {
	// Two, because the second signal must be heard while the first is handled.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go; the work does not
	os.Exit(p.main(os.Args[1:], system{
		getenv:   os.Getenv,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		columns:  columns,
		signals:  signals,
		exit:     os.Exit,
	}))
}

// columns is how wide the terminal of the log is.
func columns() int {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// system is what a program sees of the machine; tests bring their own.
type system struct {
	getenv         func(string) string
	stdout, stderr io.Writer
	terminal       bool       // stderr is one
	columns        func() int // how wide it is; 0: not known
	signals        <-chan os.Signal
	exit           func(code int)
}

// main is the whole life of the process and returns its exit code.
func (p Program) main(args []string, sys system) int {
	var logs logOptions
	p.Flags = append(p.Flags, logs.flags(sys.terminal)...)
	args = p.join(args)

	given, err := p.scan(args)
	var aside string
	if err == nil {
		aside, err = p.aside(given)
	}
	switch {
	case err == nil && aside != "":
		_, _ = io.WriteString(sys.stdout, aside)
		return exitOK
	case err == nil:
		err = p.fill(given, sys.getenv)
	}
	if err != nil {
		format := p.formatInForce(args, sys)
		newLogger(sys.stderr, format, zapcore.InfoLevel).Error("wrong usage", zap.Error(err))
		return exitUsage
	}

	log := newLogger(p.Status.open(sys, logs.format), logs.format, logs.level)
	redirectGRPC(log)
	tuneMemory(log, sys.getenv)
	return p.run(log, sys)
}

// run calls Run and says how it ended.
func (p Program) run(log *zap.Logger, sys system) int {
	ctx, stop := untilSignal(sys.signals, log, func(code int) {
		p.Status.Show("")
		sys.exit(code)
	})
	defer stop()
	err := p.Run(ctx, log)
	p.Status.Show("")
	told := ctx.Err() != nil
	if err == nil || told && errors.Is(err, context.Canceled) {
		return exitOK
	}
	log.Error("failed", zap.Error(err))
	return exitError
}
