package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"scout/internal/hostport"
)

// sample is a program with a flag of each kind, and what they were given.
type sample struct {
	address string
	wait    time.Duration
	names   []string
	deep    bool
	ran     bool
}

func (s *sample) program() Program {
	return Program{
		Name:        "sample",
		Synopsis:    "-name NAME",
		Summary:     "shows what flags do",
		Description: "It does nothing else.",
		Examples:    []struct{ Command, Meaning string }{{"sample -name a", "do it once"}},
		EnvPrefix:   "SAMPLE_",
		Flags: []Flag{
			{Name: "address", Value: "ADDRESS", Default: "3000", Set: To(&s.address, hostport.ParseListen)},
			{Name: "max-wait", Value: "DURATION", Default: "1s", Set: To(&s.wait, Duration)},
			{Name: "name", Env: "THE_NAMES", Value: "NAME", Required: true, Usage: "who is meant", Split: commas, Set: func(name string) error { s.names = append(s.names, name); return nil }},
			{Name: "deep", Default: "true", Set: To(&s.deep, OnOff)},
			{Name: "once", Value: "TEXT", Once: "start two", Set: func(string) error { return nil }},
		},
		Check: func() error {
			if s.wait > time.Hour {
				return errors.New("flag -max-wait: too long")
			}
			return nil
		},
		Run: func(context.Context, *zap.Logger) error { s.ran = true; return nil },
	}
}

func commas(s string) []string { return strings.Split(s, ",") }

// output is written by the logger and read by the test.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// bench is a system of the test's own.
type bench struct {
	stdout, stderr output
	terminal       bool
	signals        chan os.Signal
	exited         chan int
}

func newBench() *bench {
	return &bench{signals: make(chan os.Signal, 2), exited: make(chan int, 1)}
}

func (b *bench) run(p Program, args ...string) int {
	defer close(b.signals)
	return p.main(args, system{
		stdout: &b.stdout, stderr: &b.stderr, terminal: b.terminal,
		signals: b.signals, exit: func(code int) { b.exited <- code },
	})
}

// events parses what was logged as JSON; a line that is not is an error.
func (b *bench) events(t *testing.T) []map[string]any {
	t.Helper()
	var events []map[string]any
	for line := range strings.Lines(b.stderr.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v in the line %q", err, line)
		}
		events = append(events, event)
	}
	return events
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"-help"}, {"--help"}, {"-h"}, {"help"}, {"-deep=false", "-help"}} {
		b, s := newBench(), sample{}
		if code := b.run(s.program(), args...); code != 0 || s.ran || b.stderr.String() != "" {
			t.Errorf("%q: exit code %d, ran %t, log %q", args, code, s.ran, b.stderr.String())
		}
		for _, want := range []string{
			"Usage: sample -name NAME [flags]", "It does nothing else.", "-max-wait DURATION", "default: 1s, environment: SAMPLE_MAX_WAIT",
			"repeatable, required, environment: THE_NAMES", "SAMPLE_LOG_FORMAT", "sample -name a", "version",
		} {
			if !strings.Contains(b.stdout.String(), want) {
				t.Errorf("%q: the help lacks %q:\n%s", args, want, b.stdout.String())
			}
		}
	}

	for _, args := range [][]string{{"-version"}, {"--version"}, {"version"}} {
		b, s := newBench(), sample{}
		code := b.run(s.program(), args...)
		if shape := regexp.MustCompile(`^sample \S+ \(go\S+, \w+/\w+\)\n$`); code != 0 || !shape.MatchString(b.stdout.String()) {
			t.Errorf("%q: exit code %d, %q", args, code, b.stdout.String())
		}
	}
}

// -probe calls Probe instead of Run. It needs no required flag, and prints one line.
func TestProbe(t *testing.T) {
	for _, unready := range []error{nil, errors.New("not ready: it is asleep")} {
		var s sample
		p := s.program()
		p.Probe = func(context.Context) error { return unready }
		var stdout, stderr output
		signals := make(chan os.Signal)
		close(signals)
		code := p.main([]string{"-probe"}, system{stdout: &stdout, stderr: &stderr, signals: signals})
		if unready == nil && (code != exitOK || stdout.String() != "ready\n" || stderr.String() != "") {
			t.Errorf("ready: exit %d, %q, %q", code, stdout.String(), stderr.String())
		}
		if unready != nil && (code != exitError || stdout.String() != "" || !strings.Contains(stderr.String(), unready.Error())) {
			t.Errorf("not ready: exit %d, %q, %q", code, stdout.String(), stderr.String())
		}
		if s.ran {
			t.Error("a probe runs the program")
		}
	}
}

// A mistake in the environment does not hide the help.
func TestHelpWithWrongEnvironment(t *testing.T) {
	t.Setenv("SAMPLE_MAX_WAIT", "soon")
	for _, arg := range []string{"-help", "help", "-version", "version", "man", "completion=zsh"} {
		b, s := newBench(), sample{}
		if code := b.run(s.program(), arg); code != 0 || b.stdout.String() == "" || b.stderr.String() != "" {
			t.Errorf("%s: exit code %d, %s", arg, code, b.stderr.String())
		}
	}
}

// Whatever is wrong is one line at level error, in the format in force, and
// nothing on standard output.
func TestWrongUsageIsOneLine(t *testing.T) {
	const onConsole, inJSON = true, false
	tests := []struct {
		args     string
		env      map[string]string
		terminal bool
		want     bool
	}{
		{args: "-address 70000 -name a", want: inJSON},
		{args: "-address 70000 -name a", terminal: true, want: onConsole},
		{args: "-address 70000 -log-format console", want: onConsole},
		{args: "-bogus --log-format=console", want: onConsole},
		{args: "-log-format json stray", terminal: true, want: inJSON},
		{args: "stray -log-format=json", terminal: true, want: inJSON},
		{args: "-bogus", env: map[string]string{"SAMPLE_LOG_FORMAT": "console"}, want: onConsole},
		{args: "-bogus -log-format json", env: map[string]string{"SAMPLE_LOG_FORMAT": "console"}, want: inJSON},
		{args: "-name a -log-format xml", want: inJSON},
		{args: "-name a -log-format xml", terminal: true, want: onConsole},
		{args: "-bogus -log-level error", want: inJSON},
		{args: "", want: inJSON},
	}
	for _, test := range tests {
		b, s := newBench(), sample{}
		b.terminal = test.terminal
		setenv(t, test.env)
		code := b.run(s.program(), strings.Fields(test.args)...)
		log := b.stderr.String()
		if code != exitUsage || s.ran || b.stdout.String() != "" || strings.Count(log, "\n") != 1 {
			t.Errorf("%q: exit code %d, ran %t, standard output %q, log %q", test.args, code, s.ran, b.stdout.String(), log)
		}
		if console := !strings.HasPrefix(log, "{"); console != test.want {
			t.Errorf("%q: on console is %t: %s", test.args, console, log)
		}
		if !strings.Contains(log, "error") || !strings.Contains(log, "wrong usage") {
			t.Errorf("%q: %s", test.args, log)
		}
	}
}

func TestFailure(t *testing.T) {
	b, s := newBench(), sample{}
	p := s.program()
	p.Run = func(context.Context, *zap.Logger) error { return errors.New("bind: address in use") }
	code := b.run(p, "-name", "a")
	events := b.events(t)
	if code != exitError || len(events) != 1 || events[0]["msg"] != "failed" || events[0]["level"] != "error" || events[0]["error"] != "bind: address in use" {
		t.Errorf("exit code %d, %v", code, events)
	}
}

func TestLogLevel(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		b, s := newBench(), sample{}
		p := s.program()
		p.Run = func(_ context.Context, log *zap.Logger) error {
			log.Debug("one")
			log.Info("two")
			log.Warn("three")
			log.Error("four")
			return nil
		}
		if code := b.run(p, "-name", "a", "-log-level", level); code != 0 || len(b.events(t)) != want {
			t.Errorf("%s: exit code %d, want %d events in %q", level, code, want, b.stderr.String())
		}
	}
}

// What grpc says ends up in our log, from warn on.
func TestGRPCLog(t *testing.T) {
	b, s := newBench(), sample{}
	p := s.program()
	p.Run = func(context.Context, *zap.Logger) error {
		grpclog.Info("chatter")
		grpclog.Warningf("lost %d of %d", 1, 2)
		return nil
	}
	b.run(p, "-name", "a")
	events := b.events(t)
	if len(events) != 1 || events[0]["msg"] != "grpc" || events[0]["detail"] != "lost 1 of 2" || events[0]["level"] != "warn" {
		t.Errorf("%v", events)
	}
}

func TestFirstSignalCancels(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		for _, returned := range []error{nil, context.Canceled} {
			b, s := newBench(), sample{}
			p := s.program()
			p.Run = func(ctx context.Context, _ *zap.Logger) error {
				b.signals <- sig
				<-ctx.Done()
				return returned
			}
			if code := b.run(p, "-name", "a"); code != exitOK || len(b.exited) != 0 {
				t.Errorf("%s: exit code %d", sig, code)
			}
			events := b.events(t)
			if len(events) != 1 || events[0]["msg"] != "stopping" || events[0]["signal"] != sig.String() {
				t.Errorf("%s: %v", sig, events)
			}
		}
	}
}

func TestErrorWhileStoppingIsAFailure(t *testing.T) {
	b, s := newBench(), sample{}
	p := s.program()
	p.Run = func(ctx context.Context, _ *zap.Logger) error {
		b.signals <- os.Interrupt
		<-ctx.Done()
		return errors.New("scouts did not leave")
	}
	if code := b.run(p, "-name", "a"); code != exitError {
		t.Errorf("exit code %d", code)
	}
}

func TestCancelledWithoutSignalIsAFailure(t *testing.T) {
	b, s := newBench(), sample{}
	p := s.program()
	p.Run = func(context.Context, *zap.Logger) error { return context.Canceled }
	if code := b.run(p, "-name", "a"); code != exitError {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	for sig, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		b, s := newBench(), sample{}
		p := s.program()
		p.Run = func(ctx context.Context, _ *zap.Logger) error {
			b.signals <- syscall.SIGTERM
			<-ctx.Done()
			b.signals <- sig
			if code := <-b.exited; code != want {
				t.Errorf("%s: exit code %d", sig, code)
			}
			return nil
		}
		b.run(p, "-name", "a")
	}
}

// SIGHUP reloads, or does nothing. It never ends a program.
func TestHangup(t *testing.T) {
	for _, reloads := range []bool{true, false} {
		b, s := newBench(), sample{}
		reloaded := make(chan bool, 3)
		p := s.program()
		if reloads {
			p.Reload = func() { reloaded <- true }
		}
		p.Run = func(ctx context.Context, _ *zap.Logger) error {
			for range 3 {
				b.signals <- syscall.SIGHUP
				if reloads {
					<-reloaded
				}
			}
			if ctx.Err() != nil {
				t.Error("SIGHUP stopped the program")
			}
			b.signals <- syscall.SIGTERM
			<-ctx.Done()
			return nil
		}
		if code := b.run(p, "-name", "a"); code != exitOK || len(b.exited) > 0 {
			t.Errorf("exit code %d", code)
		}
	}
}
