//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	scoutv1 "scout/proto/scout/v1"
)

// Each failure at the start is one line at level error, with the cause and the remedy.
// The program ends within 5 s with a non-zero code.
func TestWrongStarts(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "file")
	unreadable := filepath.Join(dir, "unreadable")
	must(t, os.Mkdir(unreadable, 0o311))
	unsearchable := filepath.Join(dir, "unsearchable")
	must(t, os.Mkdir(unsearchable, 0o444))
	behind := filepath.Join(dir, "private")
	must(t, os.MkdirAll(filepath.Join(behind, "dir"), 0o755))
	must(t, os.Chmod(behind, 0o700))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	master := startMaster(t).GRPC
	free := net.JoinHostPort("localhost", freePort(t))

	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no directory":          {[]string{"-dir", dir + "/none", "-master", master}, "none does not exist: create it"},
		"a file":                {[]string{"-dir", dir + "/file", "-master", master}, "file is not a directory"},
		"below a file":          {[]string{"-dir", dir + "/file/x", "-master", master}, "is not a directory"},
		"a file and a slash":    {[]string{"-dir", dir + "/file/", "-master", master}, "is not a directory"},
		"a dangling link":       {[]string{"-dir", dir + "/dangling", "-master", master}, "does not exist"},
		"a link to itself":      {[]string{"-dir", dir + "/loop", "-master", master}, "loop"},
		"unreadable":            {[]string{"-dir", unreadable, "-master", master}, "cannot be read and searched: permit it"},
		"unsearchable":          {[]string{"-dir", unsearchable, "-master", master}, "cannot be read and searched: permit it"},
		"behind a private one":  {[]string{"-dir", behind + "/dir", "-master", master}, "cannot be read and searched: permit it"},
		"a name with a newline": {[]string{"-dir", dir + "/a\nb\xff", "-master", master}, "does not exist"},
		"a name too long":       {[]string{"-dir", dir + "/" + strings.Repeat("n", 300), "-master", master}, "too long"},
		"no directory given":    {[]string{"-master", master}, "MONITOR_DIR"},
		"an empty directory":    {[]string{"-dir", "", "-master", master}, "-dir"},
		"no master given":       {[]string{"-dir", dir}, "SCOUT_MASTER_ADDRESS"},
		"nobody listens":        {[]string{"-dir", dir, "-master", free}, "is it running"},
		"no port":               {[]string{"-dir", dir, "-master", "localhost"}, "host:port"},
		"a URL":                 {[]string{"-dir", dir, "-master", "http://" + master}, "host:port"},
		"not an address":        {[]string{"-dir", dir, "-master", "☃"}, "host:port"},
		"an address far away":   {[]string{"-dir", dir, "-master", "192.0.2.1:3000"}, "-insecure"},
		"no such host":          {[]string{"-dir", dir, "-master", "nowhere.invalid:3000", "-insecure"}, "nowhere.invalid"},
		"an unknown flag":       {[]string{"-dir", dir, "-master", master, "-bogus"}, `"-bogus" is unknown`},
		"a stray argument":      {[]string{"-dir", dir, "-master", master, "stray"}, `"stray" belongs to no flag`},
		"a poll of nothing":     {[]string{"-dir", dir, "-master", master, "-poll", "0s"}, "-poll"},
		"a poll without unit":   {[]string{"-dir", dir, "-master", master, "-poll", "5"}, "-poll"},
		"a host with a newline": {[]string{"-dir", dir, "-master", master, "-host", "a\nb"}, "host"},
		"a host too long":       {[]string{"-dir", dir, "-master", master, "-host", strings.Repeat("h", 256)}, "host"},
		"a bad pattern":         {[]string{"-dir", dir, "-master", master, "-exclude", "["}, "not a glob pattern"},
		"a bad level":           {[]string{"-dir", dir, "-master", master, "-log-level", "loud"}, "none of debug"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, arg := range test.args {
				if arg == dir { // those that get so far claim it
					test.args[i] = tempDir(t)
				}
			}
			fails(t, test.want, programs.Scout, test.args...)
			failsOnConsole(t, test.want, programs.Scout, test.args...)
		})
	}
}

// A scout distinguishes a scoutmaster from another server at its address.
func TestWrongMasters(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	garbage := func(c net.Conn) { c.Write([]byte("220 smtp ready\r\n")); c.Close() }
	for name, test := range map[string]struct{ address, want string }{
		"a web server":                   {web.Listener.Addr().String(), "is this its gRPC address?"},
		"a web server with TLS":          {secure.Listener.Addr().String(), "is this its gRPC address?"},
		"a master's HTTP address":        {startMaster(t).HTTP, "is this its gRPC address?"},
		"a listener that never accepts":  {serve(t, nil), "no answer within"},
		"a listener that never answers":  {serve(t, func(net.Conn) {}), "no answer within"},
		"a listener that hangs up":       {serve(t, func(c net.Conn) { c.Close() }), "scoutmaster at"},
		"a server of something else":     {serve(t, garbage), "scoutmaster at"},
		"a gRPC server without sessions": {serveGRPC(t, nil), "no scoutmaster at"},
		"a master that makes no sense":   {serveGRPC(t, &nonsense{}), "its Welcome makes no sense"},
		"a master that says nothing":     {serveGRPC(t, &nonsense{mute: true}), "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			fails(t, test.want, programs.Scout, "-dir", dir, "-master", test.address)
			// The claim has ended with it.
			m := startMaster(t)
			startScout(t, m, "h", dir)
		})
	}
}

// A frozen master does not answer.
func TestFrozenMasterAtStart(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	signal(t, m.Process, syscall.SIGSTOP)
	fails(t, "no answer within", programs.Scout, "-dir", tempDir(t), "-master", m.GRPC)
}

// Failures of the master likewise.
func TestWrongMasterStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	inUse := port(taken.Addr().String())
	for name, test := range map[string]struct{ args, want string }{
		"gRPC port in use":          {"-http 0 -grpc " + inUse, "flag -grpc: 127.0.0.1:" + inUse + " is in use by another program"},
		"HTTP port in use":          {"-grpc 0 -http " + inUse, "flag -http: 127.0.0.1:" + inUse + " is in use by another program"},
		"one port for both":         {"-grpc 3001", "is the address of -grpc too"},
		"not a port":                {"-grpc 65536", "not a port"},
		"not ours":                  {"-grpc 0 -http 192.0.2.1:0 -insecure", "choose an address of this machine"},
		"every interface":           {"-grpc :0", "-insecure"},
		"deadline below heartbeat":  {"-heartbeat 5s", "flag -deadline: 3s is not greater than the heartbeat of 5s"},
		"deadline is the heartbeat": {"-heartbeat 3s", "flag -deadline: 3s is not greater than the heartbeat of 3s"},
		"no time at all":            {"-heartbeat 0", "-heartbeat"},
		"time runs backwards":       {"-deadline -1s", "-deadline"},
		"an unknown flag":           {"-dir /", `"-dir" is unknown`},
		"a stray argument":          {"3000", `"3000" belongs to no flag`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, test.want, programs.Scoutmaster, strings.Fields(test.args)...)
			failsOnConsole(t, test.want, programs.Scoutmaster, strings.Fields(test.args)...)
		})
	}
}

// fails runs a program that cannot start, without root's privileges, and checks
// what it says.
func fails(t *testing.T, want, program string, args ...string) {
	t.Helper()
	json := launch(t, asNobody(command(program, append(args, "-log-format", "json")...)))
	began := time.Now()
	if e := failure(t, json); !strings.Contains(e.Text("error"), want) {
		t.Errorf("it says %q, not %q", e["error"], want)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s", took)
	}
}

// failsOnConsole is fails for people: one line that is an error, and no other.
func failsOnConsole(t *testing.T, want, program string, args ...string) {
	t.Helper()
	cmd := asNobody(command(program, append(args, "-log-format", "console")...))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	tooLong := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer tooLong.Stop()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		t.Errorf("on the console: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, "  error  ") || !strings.Contains(last, want) || strings.Count(stderr.String(), "  error  ") != 1 {
		t.Errorf("on the console: %q", lines)
	}
	if strings.Contains(stderr.String(), "goroutine") {
		t.Errorf("on the console: %s", stderr.String())
	}
}

// serve listens, and hands connections on, until the test ends. Nobody accepts
// them if there is no handler.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	if handle != nil {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { c.Close() })
				handle(c)
			}
		}()
	}
	return l.Addr().String()
}

// serveGRPC serves a service that is no scoutmaster, or none at all.
func serveGRPC(t *testing.T, service scoutv1.ScoutmasterServiceServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := grpc.NewServer()
	if service != nil {
		scoutv1.RegisterScoutmasterServiceServer(s, service)
	}
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// nonsense welcomes a scout to a session without a heartbeat, or says nothing.
type nonsense struct {
	scoutv1.UnimplementedScoutmasterServiceServer
	mute bool
}

func (n *nonsense) Session(stream scoutv1.ScoutmasterService_SessionServer) error {
	if !n.mute {
		stream.Send(&scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Welcome{Welcome: &scoutv1.Welcome{}}})
	}
	<-stream.Context().Done()
	return nil
}
