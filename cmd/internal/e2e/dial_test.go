//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// remoteName is the name of a scoutmaster that only the name servers of a test know.
const remoteName = "list.scout.example"

// nameServers are the addresses of name servers that a test has made.
var nameServers atomic.Int32

// nameServer starts a name server on a loopback address of its own, until the test
// ends, and returns the address. It answers that every name is 127.0.0.1, or is mute.
func nameServer(t *testing.T, answers bool) string {
	t.Helper()
	n := int(nameServers.Add(1))
	address := fmt.Sprintf("127.83.%d.%d", os.Getpid()%250, n)
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if !answers {
				continue
			}
			if answer, err := thisMachine(query[:size]); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return address
}

// thisMachine answers a query: the name has the address 127.0.0.1.
func thisMachine(query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.RecursionAvailable, message.Additionals = true, true, nil
	for _, q := range message.Questions {
		if q.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	return message.Pack()
}

// withNameServers makes cmd ask these name servers, in this order.
func withNameServers(t *testing.T, cmd *exec.Cmd, servers ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(tempDir(t), "resolv.conf")
	must(t, os.WriteFile(file, []byte("nameserver "+strings.Join(servers, "\nnameserver ")+"\n"), 0o644))
	return command("unshare", append([]string{
		"-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file,
	}, cmd.Args...)...)
}

// resolveTime is how long a start may take where a name has to be resolved.
const resolveTime = 10 * time.Second

// The system waits 5 s for the first name server before it asks the next. A scout
// that starts then does not give up before.
func TestFirstNameServerIsDead(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	dir := dirOf(t, "file")
	cmd := withNameServers(t, scoutCommand(net.JoinHostPort(remoteName, port(m.GRPC)), "h", dir, "-insecure"),
		nameServer(t, false), nameServer(t, true))
	began := time.Now()
	s := launchScout(t, cmd, "h", dir)
	await(t, s.Process, "registered")
	if took := time.Since(began); took > resolveTime {
		t.Errorf("it took %s to register", took)
	}
	converges(t, m, s)
}

// When no name server answers, the line says so, and the scout does not wait longer
// than a start may take.
func TestNoNameServerAnswers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	cmd := withNameServers(t, scoutCommand(remoteName+":3000", "h", tempDir(t), "-insecure"), nameServer(t, false), nameServer(t, false))
	e := failureWithin(t, launch(t, cmd), resolveTime)
	if want := "no name server"; !strings.Contains(e.Text("error"), want) || !strings.Contains(e.Text("error"), remoteName) {
		t.Errorf("it says %q, not %q", e["error"], want)
	}
}

// A proxy in the environment is used for other machines and never for this one, which
// would tell it the token. If it is the cause of a failure, it is named.
func TestProxyInTheEnvironment(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodConnect || r.Host != net.JoinHostPort(remoteName, port(m.GRPC)) {
			http.Error(w, "not through here", http.StatusForbidden)
			return
		}
		tunnel(t, w, m.GRPC)
	}))
	t.Cleanup(proxy.Close)
	behind := func(master, dir string) *exec.Cmd {
		cmd := scoutCommand(master, "h", dir, "-insecure")
		for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"} {
			cmd.Env = append(cmd.Env, name+"="+proxy.URL)
		}
		return cmd
	}
	var scouts []*scout
	for _, host := range []string{"127.0.0.1", "localhost", "LocalHost"} {
		dir := dirOf(t, "file")
		s := launchScout(t, behind(net.JoinHostPort(host, port(m.GRPC)), dir), "h", dir)
		await(t, s.Process, "registered")
		scouts = append(scouts, s)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times for this machine", n)
	}
	dir := dirOf(t, "file")
	s := launchScout(t, behind(net.JoinHostPort(remoteName, port(m.GRPC)), dir), "h", dir)
	await(t, s.Process, "registered")
	if asked.Load() == 0 {
		t.Error("the proxy was not asked for another machine")
	}
	converges(t, m, append(scouts, s)...)

	e := failure(t, launch(t, behind("elsewhere.example:3000", tempDir(t))))
	if got := e.Text("error"); !strings.Contains(got, strings.TrimPrefix(proxy.URL, "http://")) || !strings.Contains(got, "403 Forbidden") {
		t.Errorf("it says %q, which does not name the proxy", got)
	}
}

// tunnel answers CONNECT and carries what comes, until either end is closed.
func tunnel(t *testing.T, w http.ResponseWriter, target string) {
	there, err := net.Dial("tcp", target)
	if err != nil {
		t.Error(err)
		return
	}
	defer there.Close()
	here, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer here.Close()
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer there.Close()
		in.WriteTo(there)
	}()
	_, _ = here.(*net.TCPConn).ReadFrom(there)
}
