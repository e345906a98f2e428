//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"scout/cmd/internal/testfleet"
)

// answer has the measurements of one answer.
type answer struct {
	first time.Duration // from the request to the first byte
	whole time.Duration // to the last
	size  int64         // bytes, the header's too
}

// request is a request to a server, on a connection of its own.
type request struct {
	addr, path string
	header     string // lines with their ends
	least      int64  // bytes that the answer must have
}

// fetch reads the answer as fast as it arrives, and discards it.
func (r request) fetch(ctx context.Context, buf []byte) (answer, error) {
	var a answer
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return a, err
	}
	defer conn.Close() //nolint:errcheck // it was read to its end
	began := time.Now()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", r.path, r.header); err != nil {
		return a, err
	}
	for {
		n, err := conn.Read(buf)
		if a.size == 0 {
			a.first = time.Since(began)
			if !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 ")) {
				return a, fmt.Errorf("GET %s of %s: %.60q", r.path, r.addr, buf[:n])
			}
		}
		a.size += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return a, err
		}
	}
	a.whole = time.Since(began)
	if a.size < r.least {
		return a, fmt.Errorf("GET %s of %s: %d bytes, want at least %d", r.path, r.addr, a.size, r.least)
	}
	return a, nil
}

// readSize is how many bytes a client reads at once: more than Go's io.Copy (32 KiB)
// and less than curl (100 KiB).
const readSize = 64 << 10

// answers of one server.
type answers []answer

func (all answers) first() float64 {
	return median(all.each(func(a answer) time.Duration { return a.first }))
}

func (all answers) whole() float64 {
	return median(all.each(func(a answer) time.Duration { return a.whole }))
}

// best is the shortest time of a whole answer, when the machine did little else.
func (all answers) best() float64 {
	return slices.Min(all.each(func(a answer) time.Duration { return a.whole }))
}

func (all answers) each(f func(answer) time.Duration) []float64 {
	var out []float64
	for _, a := range all {
		out = append(out, f(a).Seconds())
	}
	return out
}

// race sends requests to several servers in turn, round after round, so that other
// load on the machine affects all of them.
func race(ctx context.Context, rounds int, before func() error, requests ...request) ([]answers, error) {
	out := make([]answers, len(requests))
	buf := make([]byte, readSize)
	for range rounds {
		for i, r := range requests {
			if i == 0 && before != nil {
				if err := before(); err != nil {
					return nil, err
				}
			}
			a, err := r.fetch(ctx, buf)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], a)
		}
	}
	return out, nil
}

// asker requests parts of the list over one connection.
type asker struct {
	conn   net.Conn
	reader *bufio.Reader
	body   bytes.Buffer
}

func newAsker(ctx context.Context, addr string) (*asker, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &asker{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (a *asker) close() { a.conn.Close() } //nolint:errcheck // it is not used any more

// ask returns the entries whose names have the prefix. They are valid until the next
// call.
func (a *asker) ask(prefix string) ([]byte, error) {
	if _, err := fmt.Fprintf(a.conn, "GET /files?prefix=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", url.QueryEscape(prefix)); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(a.reader, nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	a.body.Reset()
	if _, err := a.body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /files?prefix=%s: %s: %s", prefix, r.Status, a.body.Bytes())
	}
	return a.body.Bytes(), nil
}

// await sends requests as fast as it can until an answer contains the text.
func (a *asker) await(prefix string, text []byte, until time.Time) error {
	for time.Now().Before(until) {
		body, err := a.ask(prefix)
		if err != nil || bytes.Contains(body, text) {
			return err
		}
	}
	return fmt.Errorf("%w: %s", errNotSeen, prefix)
}

// countFiles returns the number of entries in the list.
func countFiles(ctx context.Context, addr string) (n int, err error) {
	r, err := fetchList(ctx, addr, "")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	lines := bufio.NewReaderSize(r.Body, readSize)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 1 && line[0] == '{' && line[1] == '"' {
			n++
		}
		if errors.Is(err, io.EOF) {
			return n - 1, nil // the head of the list begins like an entry
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
	}
}

// fetchList requests the list in an encoding, or uncompressed.
func fetchList(ctx context.Context, addr, encoding string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/files", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", encoding)
	if encoding == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	return http.DefaultTransport.RoundTrip(req)
}

// nginx serves one file, in several ways.
type nginx struct {
	process *testfleet.Process
	file    string
	size    int64

	sendfile string // address: as installed
	buffered string // without sendfile, with large buffers
	gzip     string // compressing on the fly, level 1
}

// nginxServers serve the same file in three ways.
const nginxServers = `
	default_type application/json;
	tcp_nopush on;
	root %s;
	server { listen %s; sendfile on; }
	server { listen %s; sendfile off; output_buffers 2 512k; }
	server { listen %s; sendfile on; gzip on; gzip_comp_level 1; gzip_types application/json; }
`

// list is the name of the file.
const list = "/files.json"

// peer returns nginx with the list of the stage as its file.
func (l *lab) peer(ctx context.Context, s *stage) (*nginx, error) {
	if l.server != nil && s == l.stage {
		return l.server, nil
	}
	if err := l.haveNginx(ctx); err != nil {
		return nil, err
	}
	n := &nginx{file: filepath.Join(l.dir, list)}
	if err := n.save(ctx, s); err != nil {
		return nil, err
	}
	if err := n.start(ctx, l.dir); err != nil {
		return nil, err
	}
	l.server = n
	return n, nil
}

// haveNginx installs nginx if it is missing and may be installed.
func (l *lab) haveNginx(ctx context.Context) error {
	if _, err := exec.LookPath("nginx"); err == nil {
		return nil
	}
	if !l.install {
		return skip("nginx is not installed: install it, or give -install")
	}
	l.log("installing nginx with apt-get")
	install := exec.CommandContext(ctx, "apt-get", "install", "-qy", "--no-install-recommends", "nginx")
	if os.Getuid() != 0 {
		install = exec.CommandContext(ctx, "sudo", append([]string{"-n", "DEBIAN_FRONTEND=noninteractive"}, install.Args...)...)
	}
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	install.Stdout, install.Stderr = os.Stderr, os.Stderr
	if err := install.Run(); err != nil {
		return skip("nginx is not installed, and could not be: %v", err)
	}
	return nil
}

// save writes the list to the file, byte for byte.
func (n *nginx) save(ctx context.Context, s *stage) error {
	r, err := fetchList(ctx, s.master.HTTP, "")
	if err != nil {
		return err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	f, err := os.OpenFile(n.file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n.size, err = io.Copy(f, r.Body)
	return errors.Join(err, f.Sync(), f.Close()) // the disk must be idle while nginx is measured
}

func (n *nginx) start(ctx context.Context, dir string) (err error) {
	for _, a := range []*string{&n.sendfile, &n.buffered, &n.gzip} {
		port, err := testfleet.FreePort()
		if err != nil {
			return err
		}
		*a = "127.0.0.1:" + port
	}
	main := "worker_processes auto;"
	if os.Getuid() == 0 {
		main += " user root;" // other users may not read the file
	}
	n.process, err = testfleet.StartNginx(dir, main, fmt.Sprintf(nginxServers, dir, n.sendfile, n.buffered, n.gzip), n.gzip)
	if err == nil {
		context.AfterFunc(ctx, n.stop)
	}
	return err
}

func (n *nginx) stop() { n.process.Terminate() } //nolint:errcheck // it may have ended
