package testfleet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Programs are the paths of the two programs.
type Programs struct{ Scout, Scoutmaster string }

// Build builds both programs into dir.
func Build(dir string, flags ...string) (Programs, error) {
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.Command("go", append(args, "scout/cmd/scout", "scout/cmd/scoutmaster")...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return Programs{}, fmt.Errorf("build the programs: %w", err)
	}
	return Programs{filepath.Join(dir, "scout"), filepath.Join(dir, "scoutmaster")}, nil
}

// startTime is how long a program may take to come up.
const startTime = 30 * time.Second

// Master is a scoutmaster that runs.
type Master struct {
	*Process
	GRPC, HTTP string // addresses
	client     http.Client
}

// StartMaster starts a scoutmaster on free ports, unless args say otherwise,
// and waits until it serves.
func (p Programs) StartMaster(args ...string) (*Master, error) {
	proc, err := Start(p.Scoutmaster, append([]string{"-grpc", "0", "-http", "0", "-log-format", "json"}, args...), nil)
	if err != nil {
		return nil, err
	}
	e, err := proc.AwaitMsg(startTime, "serving")
	if err != nil {
		proc.Kill()
		return nil, err
	}
	return &Master{Process: proc, GRPC: e.Text("grpc"), HTTP: e.Text("http")}, nil
}

// StartScout starts a scout and does not wait.
func (p Programs) StartScout(dir, master string, args ...string) (*Process, error) {
	return Start(p.Scout, append([]string{"-dir", dir, "-master", master, "-log-format", "json"}, args...), nil)
}

// Entry is one entry of the list.
type Entry struct {
	Filename        string `json:"filename"`
	FilenameBase64  string `json:"filename_base64"`
	Host            string `json:"host"`
	Directory       string `json:"directory"`
	DirectoryBase64 string `json:"directory_base64"`
}

// Name returns the exact bytes of the filename.
func (e Entry) Name() string {
	if b, err := base64.StdEncoding.DecodeString(e.FilenameBase64); err == nil && e.FilenameBase64 != "" {
		return string(b)
	}
	return e.Filename
}

// Dir returns the exact bytes of the directory.
func (e Entry) Dir() string {
	if b, err := base64.StdEncoding.DecodeString(e.DirectoryBase64); err == nil && e.DirectoryBase64 != "" {
		return string(b)
	}
	return e.Directory
}

// Get asks the master for a path, such as "/files", and returns the answer's
// body.
func (m *Master) Get(path string) ([]byte, error) {
	r, err := m.client.Get("http://" + m.HTTP + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, r.Status, body)
	}
	return body, err
}

// Files returns the list, or the part of it that a query selects.
func (m *Master) Files(query string) ([]Entry, error) {
	body, err := m.Get("/files" + query)
	if err != nil {
		return nil, err
	}
	var list struct{ Files []Entry }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("GET /files: %w", err)
	}
	return list.Files, nil
}
