//go:build linux

package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

// consumer asks for the list again and again, in one way.
type consumer struct {
	name        string
	prefix      string
	gzip        bool
	conditional bool // it says what it has, and is told when that is still so
	pause       time.Duration

	recorder *recorder
	address  string // of the master
	origins  origins
	client   http.Client

	shown  map[string]history.Name // what it was last given, by scout and path
	etag   string                  // of that
	digest uint64                  // of its text
}

// answer is what one request was answered with.
type answer struct {
	body      []byte
	etag      string
	unchanged bool
}

// follow asks until ctx is done, and leaves most of the time to the programs.
func (c *consumer) follow(ctx context.Context) {
	c.shown = map[string]history.Name{}
	for ctx.Err() == nil {
		began := time.Now()
		c.look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(max(c.pause, 2*time.Since(began))):
		}
	}
}

// look asks once and records the answer.
func (c *consumer) look(ctx context.Context) {
	l := &history.List{Consumer: c.name, Prefix: c.prefix, Start: c.recorder.now()}
	a, err := c.get(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.Error = err.Error()
	default:
		c.read(l, a)
	}
	c.recorder.add(history.Event{List: l})
}

func (c *consumer) get(ctx context.Context) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+"/files", http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if c.prefix != "" {
		req.URL.RawQuery = url.Values{"prefix": {c.prefix}}.Encode()
	}
	req.Header.Set("Accept-Encoding", "identity")
	if c.gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	if c.conditional && c.etag != "" {
		req.Header.Set("If-None-Match", c.etag)
	}
	r, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	return c.receive(r)
}

func (c *consumer) receive(r *http.Response) (answer, error) {
	a := answer{etag: r.Header.Get("ETag")}
	if r.StatusCode == http.StatusNotModified && c.conditional && c.etag != "" {
		a.unchanged = true
		return a, nil
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return a, err
		}
		body = unzipped
	}
	var err error
	a.body, err = io.ReadAll(body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", r.Status, a.body)
	}
	return a, err
}

// read makes a record of an answer.
func (c *consumer) read(l *history.List, a answer) {
	var err error
	if l.Epoch, l.Revision, err = version(a.etag); err != nil {
		l.Wrong = err.Error()
		return
	}
	l.Digest = c.digest
	if a.unchanged {
		return
	}
	entries, err := testfleet.ParseList(a.body)
	if err != nil {
		l.Wrong = err.Error()
		return
	}
	now := map[string]history.Name{}
	c.digest = 0
	for _, e := range entries {
		key, name, err := c.origins.name(e)
		if err == nil && !strings.HasPrefix(e.Name(), c.prefix) {
			err = fmt.Errorf("nobody asked for %+v", e)
		}
		if err != nil {
			l.Wrong = err.Error()
			return
		}
		now[key] = name
		c.digest += digest(key)
	}
	l.Came, l.Went = minus(now, c.shown), minus(c.shown, now)
	c.shown, c.etag = now, a.etag
	l.Digest = c.digest
}

// origins are the scouts, by what is listed of them.
type origins map[origin]int

// origin is whose an entry is.
type origin struct{ host, dir string }

// name returns what an entry is called in a history, and a key for that.
func (o origins) name(e testfleet.Entry) (key string, n history.Name, err error) {
	scout, ok := o[origin{e.Host, e.Dir()}]
	if !ok {
		return "", n, fmt.Errorf("there is no scout for %+v", e)
	}
	return strconv.Itoa(scout) + "/" + e.Name(), history.Name{Scout: scout, Path: []byte(e.Name())}, nil
}

// minus returns what a has and b has not.
func minus(a, b map[string]history.Name) (rest []history.Name) {
	for key, n := range a {
		if _, ok := b[key]; !ok {
			rest = append(rest, n)
		}
	}
	return rest
}

// tagPattern is how an ETag, or the id of an event, says which revision of which
// listing it belongs to.
var tagPattern = regexp.MustCompile(`^(?:W/"|)([0-9a-f]{16})-([0-9]+)(?:-json"|)$`)

// version reads an ETag or an id.
func version(tag string) (epoch string, revision uint64, err error) {
	parts := tagPattern.FindStringSubmatch(tag)
	if parts == nil {
		return "", 0, fmt.Errorf("the ETag or id is %q", tag)
	}
	revision, err = strconv.ParseUint(parts[2], 10, 64)
	return parts[1], revision, err
}

// digest is one entry's part in the digest of a list, which is the sum.
func digest(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}
