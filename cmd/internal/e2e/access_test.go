//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"scout/cmd/internal/testfleet"
	"scout/internal/access/accesstest"
	scoutv1 "scout/proto/scout/v1"
)

const (
	webSecret    = "web-secret-0123456789abcdef"
	newSecret    = "new-secret-0123456789abcdef"
	readerSecret = "reader-secret-0123456789abcdef"
)

// secretFile is a file that only its owner can read.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	accesstest.Replace(t, file, []byte(content))
	return file
}

// startSecret starts a scoutmaster that serves scouts and consumers over TLS.
func startSecret(t *testing.T, pair accesstest.Pair, args ...string) *master {
	t.Helper()
	return startMaster(t, append([]string{"-tls-cert", pair.Cert, "-tls-key", pair.Key}, args...)...)
}

// fetch requests a path from a master over TLS.
func fetch(t *testing.T, m *master, ca *accesstest.Authority, path, secret string) (status int, body string, certificate *x509.Certificate) {
	t.Helper()
	pem, err := os.ReadFile(ca.File)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	header := http.Header{}
	if secret != "" {
		header.Set("Authorization", "Bearer "+secret)
	}
	answer, text, err := testfleet.Do(client, http.MethodGet, "https://localhost:"+port(m.HTTP)+path, header)
	must(t, err)
	return answer.StatusCode, string(text), answer.TLS.PeerCertificates[0]
}

// With certificates, tokens and a policy at the same time, the files of a permitted
// scout are listed for a consumer with a token, and not for one without.
func TestLetIn(t *testing.T) {
	t.Parallel()
	ca := accesstest.NewAuthority(t, "ca")
	m := startSecret(t, ca.Issue("localhost"), "-tls-client-ca", ca.File,
		"-scout-token-file", secretFile(t, "web:"+webSecret), "-http-token-file", secretFile(t, "reader:"+readerSecret),
		"-policy", secretFile(t, "token:web hosts=web-* directories=/**"))
	dir := dirOf(t, "file")
	pair := ca.Issue("web-01")
	startScout(t, m, "web-01", dir, "-tls-ca", ca.File, "-tls-server-name", "localhost",
		"-tls-cert", pair.Cert, "-tls-key", pair.Key, "-token-file", secretFile(t, webSecret+"\n"))
	if e := await(t, m.Process, "scout registered"); e.Text("identity") != "cert:web-01, token:web" {
		t.Errorf("registered as %v", e)
	}
	await(t, m.Process, "files synced")
	for _, tc := range []struct {
		path, secret string
		status       int
		says         string
	}{
		{"/files", readerSecret, 200, `"filename":"file","host":"web-01"`},
		{"/files", "", 401, "no token was shown"},
		{"/files", webSecret, 401, "not known"},
		{"/metrics", "", 401, "no token was shown"},
		{"/healthz", "", 200, "ok"},
		{"/readyz", "", 200, "ok"},
	} {
		if status, body, _ := fetch(t, m, ca, tc.path, tc.secret); status != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s with %q: %d, %s", tc.path, tc.secret, status, body)
		}
	}
}

// A rejected scout logs the reason and the remedy in one line, at once.
func TestKeptOut(t *testing.T) {
	t.Parallel()
	ca, other := accesstest.NewAuthority(t, "ca"), accesstest.NewAuthority(t, "other")
	good, foreign, expired := ca.Issue("web-01"), other.Issue("web-01"), ca.Issue("web-01", accesstest.Expired)
	server := ca.Issue("web-01", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	tokens := secretFile(t, "web:"+webSecret)
	plain := startMaster(t, "-scout-token-file", tokens, "-policy", secretFile(t, "token:web hosts=web-01 directories=/srv/**,"+os.TempDir()+"/**"))
	secret := startSecret(t, ca.Issue("localhost"))
	mutual := startSecret(t, ca.Issue("localhost"), "-tls-client-ca", ca.File)
	outdated := startSecret(t, ca.Issue("localhost", accesstest.Expired))

	trust := []string{"-tls-ca", ca.File, "-tls-server-name", "localhost"}
	with := func(pair accesstest.Pair) []string {
		return append([]string{"-tls-cert", pair.Cert, "-tls-key", pair.Key}, trust...)
	}
	for name, tc := range map[string]struct {
		m    *master
		args []string
		want []string
	}{
		"plaintext":                 {secret, nil, []string{"does it want TLS, as with -tls-ca"}},
		"TLS to a master without":   {plain, trust, []string{"does not look like a TLS handshake", "the scoutmaster there has no TLS"}},
		"no authority":              {secret, []string{"-tls-server-name", "localhost"}, []string{"signed by unknown authority", "with -tls-ca"}},
		"the machine's authorities": {secret, []string{"-tls-ca", "system", "-tls-server-name", "localhost"}, []string{"signed by unknown authority", "with -tls-ca"}},
		"another authority":         {secret, []string{"-tls-ca", other.File, "-tls-server-name", "localhost"}, []string{"signed by unknown authority", "with -tls-ca"}},
		"another name":              {secret, []string{"-tls-ca", ca.File, "-tls-server-name", "else"}, []string{"valid for localhost, not else", "with -tls-server-name"}},
		"an address without name":   {secret, []string{"-tls-ca", ca.File}, []string{"IP SANs", "with -tls-server-name"}},
		"the master's is expired":   {outdated, trust, []string{"has expired", "renew the scoutmaster's certificate"}},
		"no certificate":            {mutual, trust, []string{"certificate required", "with -tls-cert and -tls-key"}},
		"one of another authority":  {mutual, with(foreign), []string{"unknown certificate authority", "-tls-client-ca"}},
		"an expired one":            {mutual, with(expired), []string{"expired certificate", "renew this scout's certificate"}},
		"one for servers":           {mutual, with(server), []string{"bad certificate", "for client authentication"}},
		"a key of another":          {mutual, append([]string{"-tls-cert", good.Cert, "-tls-key", foreign.Key}, trust...), []string{"does not match", "give a PEM certificate"}},
		"no such file":              {mutual, []string{"-tls-ca", "/none"}, []string{"open /none", "name a file"}},
		"no token":                  {plain, nil, []string{"registration refused", "no token was shown", "-token-file"}},
		"an unknown token":          {plain, []string{"-token-file", secretFile(t, newSecret)}, []string{"registration refused", "not known", "-token-file"}},
		"a token too short":         {plain, []string{"-token-file", secretFile(t, "short")}, []string{"less than 16 characters", "openssl rand"}},
		"somebody else's host":      {plain, []string{"-token-file", tokens, "-host", "db-01"}, []string{"registration refused", `token:web may not show directory`, `of host "db-01"`, "-policy"}},
		"a token over plaintext":    {plain, []string{"-token-file", tokens, "-insecure", "-master", "192.0.2.1:3000"}, []string{"unencrypted", "add -tls-ca"}},
		"plaintext beyond loopback": {plain, []string{"-master", "192.0.2.1:3000"}, []string{"not encrypted", "add -tls-ca"}},
		"half of a pair":            {plain, []string{"-tls-cert", good.Cert}, []string{"-tls-key is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := launch(t, scoutCommand(tc.m.GRPC, "web-01", tempDir(t), tc.args...))
			said := failure(t, s).Text("error")
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("it says %q, not %q", said, want)
				}
			}
			if strings.Contains(said, webSecret) || strings.Contains(said, newSecret) {
				t.Errorf("it tells the secret: %s", said)
			}
		})
	}
	t.Run("nobody was let in", func(t *testing.T) {
		for _, m := range []*master{plain, secret, mutual, outdated} {
			never(t, m.Process, 0, "scout registered")
		}
	})
}

// A master with an insecure configuration does not start.
func TestUnsafeMasters(t *testing.T) {
	t.Parallel()
	ca := accesstest.NewAuthority(t, "ca")
	pair, tokens := ca.Issue("localhost"), secretFile(t, "web:"+webSecret)
	must(t, os.Chmod(filepath.Dir(tokens), 0o755))
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"tokens of scouts in plaintext":    {[]string{"-grpc", ":0", "-insecure", "-scout-token-file", tokens}, "unencrypted, which -insecure does not allow either"},
		"tokens of consumers in plaintext": {[]string{"-http", ":0", "-insecure", "-http-token-file", tokens}, "unencrypted, which -insecure does not allow either"},
		"authorities without TLS":          {[]string{"-tls-client-ca", ca.File}, "add -tls-cert and -tls-key"},
		"a policy about nobody":            {[]string{"-policy", tokens}, "without -tls-client-ca or -scout-token-file"},
		"no key":                           {[]string{"-tls-cert", pair.Cert}, "-tls-key is missing"},
		"another's key":                    {[]string{"-tls-cert", pair.Cert, "-tls-key", ca.Issue("x").Key}, "does not match"},
		"no tokens":                        {[]string{"-scout-token-file", ca.File}, "ca.pem:1: the secret has characters other"},
		"a bad policy":                     {[]string{"-scout-token-file", tokens, "-policy", secretFile(t, "# who\ntoken:web hosts=*")}, "file:2: directories= is missing: add"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := launch(t, command(programs.Scoutmaster, append([]string{"-grpc", "0", "-http", "0"}, tc.args...)...))
			if said := failure(t, m).Text("error"); !strings.Contains(said, tc.want) || strings.Contains(said, webSecret) {
				t.Errorf("it says %q, not %q", said, tc.want)
			}
		})
	}
}

// After a replacement new connections get the new certificate, and existing ones stay.
// An invalid certificate changes nothing.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	ca, next := accesstest.NewAuthority(t, "ca"), accesstest.NewAuthority(t, "next")
	pair, clients := ca.Issue("localhost"), filepath.Join(t.TempDir(), "clients.pem")
	old, err := os.ReadFile(ca.File)
	must(t, err)
	accesstest.Replace(t, clients, old)
	m := startSecret(t, pair, "-tls-client-ca", clients)
	dir := dirOf(t, "file")
	mine := ca.Issue("web-01")
	s := startScout(t, m, "web-01", dir, "-tls-ca", ca.File, "-tls-server-name", "localhost", "-tls-cert", mine.Cert, "-tls-key", mine.Key)
	await(t, m.Process, "files synced")

	reloaded := func(msg, file string, from int) {
		t.Helper()
		_, err := m.Await(patience, from, func(e testfleet.Event) bool { return e.Msg() == msg && strings.Contains(e.Text("files"), file) })
		must(t, err)
	}
	from := len(m.Events())
	must(t, os.WriteFile(pair.Cert, []byte("broken"), 0o600))
	reloaded("credentials not reloaded", pair.Cert, from)
	_, _, before := fetch(t, m, ca, "/files", "")

	from = len(m.Events())
	next.IssueTo(pair, "localhost")
	added, err := os.ReadFile(next.File)
	must(t, err)
	accesstest.Replace(t, clients, append(append([]byte(nil), old...), added...))
	reloaded("credentials reloaded", pair.Cert, from)
	reloaded("credentials reloaded", clients, from)
	_, _, after := fetch(t, m, next, "/files", "")
	if before.Issuer.CommonName != "ca" || after.Issuer.CommonName != "next" {
		t.Errorf("it showed a certificate of %q, then of %q", before.Issuer.CommonName, after.Issuer.CommonName)
	}

	// The next scout trusts the new authority and has a certificate from it.
	theirs := next.Issue("web-02")
	startScout(t, m, "web-02", tempDir(t), "-tls-ca", next.File, "-tls-server-name", "localhost", "-tls-cert", theirs.Cert, "-tls-key", theirs.Key)
	write(t, dir, "later")
	within(t, patience, func() error {
		if _, body, _ := fetch(t, m, next, "/files", ""); !strings.Contains(body, `"later"`) {
			return fmt.Errorf("it lists %s", body)
		}
		return nil
	})
	never(t, s.Process, 0, "master lost")
}

// Tokens are rotated without a restart: first both are valid, then only the new one. A
// scout whose token is gone is dropped, and returns with the new one.
func TestTokenRotation(t *testing.T) {
	t.Parallel()
	tokens := secretFile(t, "web:"+webSecret)
	m := startMaster(t, "-scout-token-file", tokens, "-heartbeat", "100ms", "-deadline", "10s")
	mine := secretFile(t, "web:"+webSecret)
	s := startScout(t, m, "web-01", tempDir(t), "-token-file", mine)
	other := startScout(t, m, "web-02", tempDir(t), "-token-file", secretFile(t, webSecret))

	change := func(content, msg string) {
		t.Helper()
		from := len(m.Events())
		accesstest.Replace(t, tokens, []byte(content))
		awaitFrom(t, m.Process, from, msg)
	}
	change("# nobody\n", "credentials not reloaded")
	change("web:"+webSecret+"\nweb:"+newSecret, "credentials reloaded")
	startScout(t, m, "web-03", tempDir(t), "-token-file", secretFile(t, newSecret))
	if n := len(m.Logged(0, "scout dropped")); n > 0 {
		t.Fatalf("%d scouts were dropped", n)
	}
	change("web:"+newSecret, "credentials reloaded")
	if e := await(t, m.Process, "permission withdrawn"); !strings.Contains(e.Text("reason"), "not known") {
		t.Errorf("logged as %v", e)
	}
	await(t, other.Process, "master lost")
	await(t, s.Process, "master lost")
	from := len(s.Events())
	accesstest.Replace(t, mine, []byte("web:"+newSecret))
	awaitFrom(t, s.Process, from, "registered")
	for _, p := range []*testfleet.Process{m.Process, s.Process, other.Process} {
		if all := fmt.Sprint(p.Events()); strings.Contains(all, webSecret) || strings.Contains(all, newSecret) {
			t.Errorf("a secret is in a log: %s", all)
		}
	}
}

// A scout that exceeds a limit is refused with the name of the limit. A scout within
// the limit is not affected.
func TestLimitsOfScouts(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 8, "-max-scouts", "3", "-max-files-per-scout", "10", "-max-files", "15", "-max-name-bytes-per-scout", "500")
	show := func(names []string) func(r *raw) {
		return func(r *raw) { r.register("raw", "/"); r.show(names...) }
	}
	for name, tc := range map[string]struct {
		do    func(r *raw)
		limit string
	}{
		"too many files":       {show(longNames(11, 4)), "-max-files-per-scout"},
		"too many in all":      {show(longNames(8, 4)), "-max-files"},
		"names too long":       {show(longNames(3, 200)), "-max-name-bytes-per-scout"},
		"a message too long":   {func(r *raw) { r.register("raw", "/"); r.update(&scoutv1.Update{Added: make([]byte, 5<<20)}) }, "larger than max"},
		"too many offered":     {func(r *raw) { r.register("raw", "/"); r.send(offerOf(11)) }, "-max-files-per-scout"},
		"too many by one":      {func(r *raw) { show(longNames(7, 4))(r); r.update(r.add("x")) }, "-max-files"},
		"parts that never end": {func(r *raw) { r.register("raw", "/"); r.offer(); r.receive("Grant"); r.flood() }, "-max-files"},
	} {
		r := dialRaw(t, m)
		tc.do(r)
		if end := r.ended(); end.Code() != codes.ResourceExhausted && end.Code() != codes.InvalidArgument || !strings.Contains(end.Message(), tc.limit) {
			t.Errorf("%s: %v", name, end)
		}
	}

	r := dialRaw(t, m)
	r.register("raw", "/1")
	dialRaw(t, m).register("raw", "/2")
	late := dialRaw(t, m)
	late.hello("raw", "/3")
	if end := late.ended(); end.Code() != codes.ResourceExhausted || !strings.Contains(end.Message(), "-max-scouts") {
		t.Errorf("one scout too many: %v", end)
	}
	if e := await(t, m.Process, "registration refused"); !strings.Contains(e.Text("reason"), "-max-scouts") || e.Text("directory") != "/3" {
		t.Errorf("logged as %v", e)
	}

	conn := dialGRPC(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const streams = 1000 // that a connection may have
	for i := range streams + 1 {
		w, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
		must(t, err)
		if _, err := w.Recv(); (err != nil) != (i == streams) || err != nil && !strings.Contains(err.Error(), "open another connection") {
			t.Errorf("stream %d: %v", i+1, err)
		}
	}

	write(t, s.dir, "later")
	awaitList(t, m, "h", s.dir, find(t, s.dir)...)
	never(t, s.Process, 0, "master lost")
}

func offerOf(count uint64) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{Offer: &scoutv1.Offer{Count: count}}}
}

// flood sends parts of a snapshot until the call ends.
func (r *raw) flood() {
	for i := range 1_000_000 {
		part := &scoutv1.Update{Reset_: true, Revision: 1, More: true, Added: encode(fmt.Sprintf("%07d", i))}
		if r.stream.Send(asUpdate(part)) != nil {
			return
		}
	}
}

// Each limit of consumers has its own status.
func TestLimitsOfConsumers(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-max-connections-per-address", "3")
	ask := func(path, header string) (status int, body string) {
		t.Helper()
		answer, text, err := testfleet.Do(http.DefaultClient, http.MethodGet, "http://"+m.HTTP+path, http.Header{"X": {header}, "Connection": {"close"}})
		if answer == nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	if status, body := ask("/files?prefix="+strings.Repeat("a", 16<<10), ""); status != 414 || !strings.Contains(body, "ask in parts") {
		t.Errorf("a long query: %d, %s", status, body)
	}
	if status, _ := ask("/files", strings.Repeat("a", 80<<10)); status != 431 {
		t.Errorf("a long header: %d", status)
	}

	// A connection without a request is closed, on both ports.
	for _, address := range []string{m.HTTP, m.GRPC} {
		c, err := net.Dial("tcp", address)
		must(t, err)
		c.Write([]byte("GET /files HTTP/1.1\r\nX: "))
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		c.Close()
	}

	crowd := make([]net.Conn, 3)
	for i := range crowd {
		c, err := net.Dial("tcp", m.HTTP)
		must(t, err)
		crowd[i] = c
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := ask("/healthz", ""); status != 429 || !strings.Contains(body, "-max-connections-per-address") {
		t.Errorf("one connection too many: %d, %s", status, body)
	}
	await(t, m.Process, "peer refused")
	for _, c := range crowd {
		c.Close()
	}
	within(t, patience, func() error {
		if status, _ := ask("/healthz", ""); status != 200 {
			return fmt.Errorf("still %d", status)
		}
		return nil
	})
}

// Neither format of the log contains control characters, whatever names and reasons
// scouts send.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	const evil = "\n\r\x1b[2J\u009b2J\x9b\a\x7f\u202e\u2066\u200b\xff"
	for _, format := range []string{"json", "console"} {
		var log bytes.Buffer
		m, stopMaster := startMasterTo(t, &log, "-log-format", format, "-log-level", "debug")
		r := dialRaw(t, m)
		r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Hello{Hello: &scoutv1.Hello{
			Host: "h\u202e\u200b", Directory: []byte("/d" + evil), Version: "v\u009b\u202e",
		}}})
		r.receive("Welcome")
		r.unavailable("why\u202e\u009b\x1b[2J")
		r.show("name" + evil)
		stop := r.live(100 * time.Millisecond)
		usurper := dialRaw(t, m)
		usurper.hello("h\u202e\u200b", "/d"+evil)
		if end := usurper.ended(); end.Code() != codes.AlreadyExists || strings.ContainsFunc(end.Message(), unicode.IsControl) {
			t.Errorf("the usurper was told %q", end.Message())
		}
		stop()
		r.update(r.add("a\x00" + evil))
		r.leave()
		stranger := dialRaw(t, m)
		stranger.hello("h\u009b", "/")
		stranger.ended()
		stopMaster()
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		for _, line := range lines {
			for _, c := range line {
				if !unicode.IsPrint(c) {
					t.Errorf("%s: %U reaches the terminal: %q", format, c, line)
				}
			}
		}
		if !strings.Contains(log.String(), `\u202e`) || len(lines) < 6 {
			t.Errorf("%s: the names are not in the log: %s", format, log.String())
		}
	}
}
