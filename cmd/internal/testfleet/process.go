package testfleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"scout/internal/wake"
)

// Event is one line of a program's log.
type Event map[string]any

// Msg returns the event's message.
func (e Event) Msg() string { return e.Text("msg") }

// Text returns a field that is a string, or "".
func (e Event) Text(field string) string {
	s, _ := e[field].(string)
	return s
}

// Number returns a field that is a number, or 0.
func (e Event) Number(field string) float64 {
	n, _ := e[field].(float64)
	return n
}

// Time returns when the event was logged, or the zero time.
func (e Event) Time() time.Time {
	at, err := time.Parse(time.RFC3339Nano, e.Text("time"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// Process is a program that runs, or has run, with a log in JSON. It is killed
// when this process ends, where the operating system can do that.
type Process struct {
	*exec.Cmd

	changed wake.Broadcast // there is another line, or the program has ended
	mu      sync.Mutex
	events  []Event
	stray   []string // lines that are not JSON
	ended   bool
}

// Command returns a program that is not started yet, without the environment
// variables that configure Scout.
func Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"} // or each end takes a second
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "SCOUT") && !strings.HasPrefix(e, "MONITOR_DIR=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	endWithParent(cmd)
	return cmd
}

// Start starts a program and follows its log.
func Start(program string, args ...string) (*Process, error) {
	return Launch(Command(program, args...))
}

// Launch starts cmd, which Command has made, and follows its log.
func Launch(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd}
	stderr, err := p.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go p.follow(stderr)
	return p, nil
}

// follow keeps the log until the program ends.
func (p *Process) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		err := json.Unmarshal(lines.Bytes(), &e)
		p.note(func() {
			if err != nil {
				p.stray = append(p.stray, lines.Text())
			} else {
				p.events = append(p.events, e)
			}
		})
	}
	p.Cmd.Wait() //nolint:errcheck // ProcessState has the exit code
	p.note(func() { p.ended = true })
}

// note changes the state and wakes the goroutines that wait for that.
func (p *Process) note(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	p.changed.Wake()
}

// Events returns the log so far.
func (p *Process) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.events)
}

// Logged returns the events with the message, from the from-th of the log on.
func (p *Process) Logged(from int, msg string) (found []Event) {
	for _, e := range p.Events()[from:] {
		if e.Msg() == msg {
			found = append(found, e)
		}
	}
	return found
}

// Stray returns the lines of standard error that are not JSON.
func (p *Process) Stray() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.stray)
}

// Tail returns the end of the log, for a failure's message.
func (p *Process) Tail() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s's log ends:", filepath.Base(p.Path))
	events := p.Events()
	for _, e := range events[max(0, len(events)-12):] {
		fmt.Fprintf(&b, "\n\t%v", e)
	}
	for _, line := range p.Stray() {
		fmt.Fprintf(&b, "\n\t%s", line)
	}
	return b.String()
}

// ErrTimeout is the error of a wait that took too long.
var ErrTimeout = errors.New("timeout")

// Await waits for an event that is wanted, from the from-th of the log on. It
// fails with io.EOF when the program ends first.
func (p *Process) Await(limit time.Duration, from int, wanted func(Event) bool) (Event, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		changed := p.changed.Wait()
		p.mu.Lock()
		events, ended := p.events, p.ended
		p.mu.Unlock()
		for ; from < len(events); from++ {
			if wanted(events[from]) {
				return events[from], nil
			}
		}
		if ended {
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-timeout.C:
			return nil, ErrTimeout
		}
	}
}

// AwaitMsg waits for an event with the message, from the from-th of the log on.
func (p *Process) AwaitMsg(limit time.Duration, from int, msg string) (Event, error) {
	e, err := p.Await(limit, from, func(e Event) bool { return e.Msg() == msg })
	if err != nil {
		return nil, fmt.Errorf("wait for %q: %w; %s", msg, err, p.Tail())
	}
	return e, nil
}

// Ended reports whether the program has ended and its whole log is there.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// AwaitExit waits for the program's end and returns its exit code, -1 when a
// signal ended it.
func (p *Process) AwaitExit(limit time.Duration) (int, error) {
	_, err := p.Await(limit, 0, func(Event) bool { return false })
	if !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("wait for the end: %w", err)
	}
	return p.ProcessState.ExitCode(), nil
}

// Signal sends a signal to the program.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: send %s: %w; %s", filepath.Base(p.Path), s, err, p.Tail())
	}
	return nil
}

// stopTime is how long a program may take to end after a signal.
const stopTime = 10 * time.Second

// Terminate tells the program to end and returns its exit code. A program that
// does not obey within 10 s is killed.
func (p *Process) Terminate() (int, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	code, err := p.AwaitExit(stopTime)
	if err != nil {
		p.Kill()
	}
	return code, err
}

// Kill ends the program the hard way and waits for its end.
func (p *Process) Kill() {
	p.Process.Kill()      //nolint:errcheck // it may have ended
	p.AwaitExit(stopTime) //nolint:errcheck // nothing can be done
}
