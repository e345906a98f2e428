package testfleet

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"scout/internal/freeport"
)

// Programs are the paths of the two programs.
type Programs struct{ Scout, Scoutmaster string }

// Raced reports whether this process runs under the race detector, which makes
// everything several times as slow.
func Raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Build builds both programs into dir, with the race detector when this process
// has it: a data race in them is then a stray line in their log.
func Build(dir string, flags ...string) (Programs, error) {
	if Raced() {
		flags = append(flags, "-race")
	}
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.Command("go", append(args, "scout/cmd/scout", "scout/cmd/scoutmaster")...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return Programs{}, fmt.Errorf("build the programs: %w", err)
	}
	return Programs{filepath.Join(dir, "scout"), filepath.Join(dir, "scoutmaster")}, nil
}

// startTime is how long a program may take to come up on a busy machine.
const startTime = 30 * time.Second

// Master is a scoutmaster that runs.
type Master struct {
	*Process

	GRPC, HTTP string // addresses
	Client     *http.Client
}

// MasterCommand returns a scoutmaster that is not started yet, on free ports
// unless args say otherwise.
func (p Programs) MasterCommand(args ...string) *exec.Cmd {
	return Command(p.Scoutmaster, append([]string{"-grpc", "0", "-http", "0", "-log-format", "json"}, args...)...)
}

// StartMaster starts a scoutmaster like MasterCommand's and waits until it
// serves.
func (p Programs) StartMaster(args ...string) (*Master, error) {
	proc, err := Launch(p.MasterCommand(args...))
	if err != nil {
		return nil, err
	}
	m, err := proc.Serving()
	if err != nil {
		proc.Kill()
	}
	return m, err
}

// Serving waits until a process that is a scoutmaster serves.
func (p *Process) Serving() (*Master, error) {
	e, err := p.AwaitMsg(startTime, 0, "serving")
	if err != nil {
		return nil, err
	}
	return &Master{p, e.Text("grpc"), e.Text("http"), &http.Client{Timeout: time.Minute}}, nil
}

// Get asks the master for a path, such as "/files", and returns the body of an
// answer that is 200 OK.
func (m *Master) Get(path string) ([]byte, error) { return Get(m.Client, "http://"+m.HTTP+path) }

// Get asks for a URL and returns the body of an answer that is 200 OK.
func Get(client *http.Client, url string) ([]byte, error) {
	r, body, err := Do(client, http.MethodGet, url, nil) //nolint:bodyclose // Do has closed it
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, r.Status, body)
	}
	return body, err
}

// Do makes a request, and returns the answer and its whole body.
func Do(client *http.Client, method, url string, header http.Header) (*http.Response, []byte, error) {
	r, err := http.NewRequest(method, url, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(r.Header, header)
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// Files returns the whole list, which ParseList has checked.
func (m *Master) Files() ([]Entry, error) {
	body, err := m.Get("/files")
	if err != nil {
		return nil, err
	}
	return ParseList(body)
}

// ScoutCommand returns a scout that is not started yet.
func (p Programs) ScoutCommand(master, dir string, args ...string) *exec.Cmd {
	return Command(p.Scout, append([]string{"-dir", dir, "-master", master, "-log-format", "json"}, args...)...)
}

// StartScout starts a scout and does not wait.
func (p Programs) StartScout(master, dir string, args ...string) (*Process, error) {
	return Launch(p.ScoutCommand(master, dir, args...))
}

// FreePort returns a port that nobody listens on, for a program that is started later.
func FreePort() (string, error) {
	port, err := freeport.Reserve()
	return strconv.Itoa(port), err
}

// Sleep waits and reports whether ctx is still on.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Run runs a command that says nothing unless it fails.
func Run(command ...string) error {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%q: %w: %s", command, err, out)
	}
	return nil
}
