package testfleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
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

// Process is a program that runs, or has run, with a log in JSON.
type Process struct {
	*exec.Cmd

	mu     sync.Mutex
	events []Event
	stray  []string      // lines that are not JSON
	more   chan struct{} // closed at the next event, or at the end
	ended  bool
	err    error // of Wait
}

// Start starts a program with environment variables added to those of this
// process, which the variables of Scout itself are taken from.
func Start(binary string, args, env []string) (*Process, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = env
	return Launch(cmd)
}

// Launch starts cmd, which is not started yet and whose environment is added
// like Start's, and follows its log.
func Launch(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, more: make(chan struct{})}
	p.Env = append(cleanEnvironment(), cmd.Env...)
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

// cleanEnvironment is this process's, without what would configure a scout or
// a scoutmaster.
func cleanEnvironment() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "SCOUT") && !strings.HasPrefix(e, "MONITOR_DIR=") {
			env = append(env, e)
		}
	}
	return env
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
	err := p.Cmd.Wait()
	p.note(func() { p.ended, p.err = true, err })
}

// note changes the state and wakes who waits for that.
func (p *Process) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.more)
	p.more = make(chan struct{})
}

// Events returns the log so far.
func (p *Process) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.events)
}

// Stray returns the lines of standard error that are not JSON.
func (p *Process) Stray() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.stray)
}

// ErrTimeout is what a wait that took too long returns.
var ErrTimeout = errors.New("timeout")

// Await waits for an event that is wanted, from the from-th of the log on. It
// fails with io.EOF when the program ends first.
func (p *Process) Await(limit time.Duration, from int, wanted func(Event) bool) (Event, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		events, more, ended := p.events, p.more, p.ended
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
		case <-more:
		case <-timeout.C:
			return nil, ErrTimeout
		}
	}
}

// AwaitMsg waits for an event with the message.
func (p *Process) AwaitMsg(limit time.Duration, msg string) (Event, error) {
	e, err := p.Await(limit, 0, func(e Event) bool { return e.Msg() == msg })
	if err != nil {
		return nil, fmt.Errorf("wait for %q: %w; the log is %v %v", msg, err, p.Events(), p.Stray())
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

// Kill ends the program the hard way, and waits for its end.
func (p *Process) Kill() {
	p.Process.Kill()              //nolint:errcheck // it may have ended
	p.AwaitExit(10 * time.Second) //nolint:errcheck // nothing can be done
}
