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
	"slices"
	"time"
)

// answer is how a server answered a request.
type answer struct {
	first time.Duration // from the request to the first byte
	whole time.Duration // to the last
	size  int64         // bytes, the header's too
}

// request is what is asked of a server, on a connection of its own.
type request struct {
	addr, path string
	header     string // lines with their ends
	least      int64  // bytes that the answer must have
}

// fetch reads the answer as fast as it comes, and throws it away.
func (r request) fetch(ctx context.Context, buf []byte) (answer, error) {
	var a answer
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return a, err
	}
	defer conn.Close() //nolint:errcheck // it was read to its end
	began := time.Now()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n%s\r\n", r.path, r.header); err != nil {
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

// readSize is how much a client takes at once. It is between what Go's io.Copy
// takes, 32 KiB, and curl, 100 KiB.
const readSize = 64 << 10

// answers of one server.
type answers []answer

func (all answers) first() float64 {
	return median(all.each(func(a answer) time.Duration { return a.first }))
}

func (all answers) whole() float64 {
	return median(all.each(func(a answer) time.Duration { return a.whole }))
}

// best is the whole answer when the machine did little else.
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

// race asks several servers in turn, round after round, so that what else the
// machine does hits all of them.
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

// asker asks for parts of the list over one connection.
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

func (a *asker) close() { a.conn.Close() } //nolint:errcheck // nothing is expected of it any more

// ask returns the entries whose names have the prefix, valid until the next.
func (a *asker) ask(prefix string) ([]byte, error) {
	if _, err := fmt.Fprintf(a.conn, "GET /files?prefix=%s HTTP/1.1\r\nHost: bench\r\n\r\n", url.QueryEscape(prefix)); err != nil {
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

// await asks as fast as it can until the answer has the text in it.
func (a *asker) await(prefix string, text []byte, until time.Time) error {
	for time.Now().Before(until) {
		body, err := a.ask(prefix)
		if err != nil || bytes.Contains(body, text) {
			return err
		}
	}
	return fmt.Errorf("%w: %s", errNotSeen, prefix)
}

// countFiles returns how many entries the list has.
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

// fetchList asks for the list in an encoding, or as it is.
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
