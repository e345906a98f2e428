package web

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
)

// pipes is a network within a test, whose connections hold nothing: what is
// written waits until it is read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// watchLab is a list that is served within a test.
type watchLab struct {
	*testing.T
	list    *listing.Listing
	handler *Handler
	client  *http.Client
}

func newWatchLab(t *testing.T) *watchLab {
	t.Helper()
	l := listing.New()
	return serveLab(t, l, nobody{l}, Options{Watchers: 3})
}

func serveLab(t *testing.T, l *listing.Listing, scouts Scouts, o Options) *watchLab {
	t.Helper()
	lab := &watchLab{T: t, list: l}
	lab.handler = NewHandler(l, scouts, func() error { return nil }, o, zap.NewNop())
	network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: lab.handler}
	server.RegisterOnShutdown(lab.handler.EndWatching)
	go server.Serve(network)
	transport := &http.Transport{DialContext: network.dial, DisableCompression: true}
	lab.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		server.Close()
	})
	return lab
}

func (lab *watchLab) change(s *listing.Source, removed []string, added ...string) {
	lab.Helper()
	if _, err := lab.list.Change(s, files.Delta{Removed: filestest.Set(removed...), Added: filestest.Set(added...)}); err != nil {
		lab.Fatal(err)
	}
}

// ask sends a request with headers, given as name and value in turn.
func (lab *watchLab) ask(ctx context.Context, query string, headers ...string) *http.Response {
	lab.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lab/files?"+query, http.NoBody)
	if err != nil {
		lab.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := lab.client.Do(r)
	if err != nil {
		lab.Fatal(err)
	}
	return answer
}

// told is an event as a client has it.
type told struct {
	Event, ID string
	Files     []struct {
		Filename       string `json:"filename"`
		FilenameBase64 string `json:"filename_base64"`
		Host           string `json:"host"`
		Directory      string `json:"directory"`
	}
}

func (e told) names() (names []string) {
	for _, f := range e.Files {
		name := f.Filename
		if f.FilenameBase64 != "" {
			raw, err := base64.StdEncoding.DecodeString(f.FilenameBase64)
			if err != nil {
				panic(err)
			}
			name = string(raw)
		}
		names = append(names, name+"@"+f.Host)
	}
	return names
}

func (e told) String() string { return strings.TrimSpace(e.Event + " " + strings.Join(e.names(), " ")) }

// stream is a client that reads events, and has the list that they tell of.
type stream struct {
	leave context.CancelFunc
	ended chan struct{}

	mu sync.Mutex
	place
	places []place // after each event
	events []told
	err    error
}

// place is where a client is: what it has, and the id to come back with.
type place struct {
	last string
	list map[string]bool
}

// open reads events of a query from the beginning.
func (lab *watchLab) open(query string) *stream {
	lab.Helper()
	return lab.resume(query, place{})
}

// resume reads events of a query from a place on.
func (lab *watchLab) resume(query string, from place) *stream {
	lab.Helper()
	ctx, leave := context.WithCancel(lab.Context())
	s := &stream{leave: leave, ended: make(chan struct{}), place: place{from.last, map[string]bool{}}}
	maps.Copy(s.list, from.list)
	var headers []string
	if from.last != "" {
		headers = []string{"Last-Event-ID", from.last}
	}
	answer := lab.ask(ctx, query, headers...)
	if answer.StatusCode != http.StatusOK {
		lab.Fatal(answer.Status)
	}
	read := readLines
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		read = readEventStream
	}
	go func() {
		defer close(s.ended)
		defer answer.Body.Close()
		s.err = read(bufio.NewReader(answer.Body), s.take)
	}()
	return s
}

func (s *stream) take(e told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.ID != "" {
		s.last = e.ID
	}
	s.events = append(s.events, e)
	if e.Event == "reset" {
		clear(s.list)
	}
	for _, name := range e.names() {
		if e.Event == "remove" {
			delete(s.list, name)
		} else {
			s.list[name] = true
		}
	}
	s.places = append(s.places, place{s.last, maps.Clone(s.list)})
}

// cut ends the stream as if the last events, at most so many, had not come, and
// returns where the client is then.
func (s *stream) cut(lost int) place {
	s.leave()
	<-s.ended
	if n := len(s.places); n > 0 {
		return s.places[max(0, n-1-lost)]
	}
	return s.place
}

// log returns the events so far, and forgets them.
func (s *stream) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, e := range s.events {
		lines = append(lines, e.String())
	}
	s.events = nil
	return strings.Join(lines, "; ")
}

// readEventStream reads as the HTML standard has it.
func readEventStream(in *bufio.Reader, take func(told)) error {
	var e told
	var data []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if e.Event == "" && data != nil || e.Event != "" && data == nil {
				return fmt.Errorf("half an event: %v", e)
			}
			if data != nil {
				if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &e); err != nil {
					return err
				}
			} else {
				e.Event = "heartbeat"
			}
			take(e)
			e, data = told{}, nil
		case field == "event":
			e.Event = value
		case field == "id":
			e.ID = value
		case field == "data":
			data = append(data, value)
		case field != "":
			return fmt.Errorf("the line %q", line)
		}
	}
}

func readLines(in *bufio.Reader, take func(told)) error {
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		var e told
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		take(e)
	}
}

// listed is what a query selects now, by the list's own account.
func (lab *watchLab) listed(query string) map[string]bool {
	lab.Helper()
	answer := lab.ask(lab.Context(), query+"&format=json")
	var e told
	if err := json.Unmarshal(body(lab.T, answer), &e); err != nil {
		lab.Fatal(err)
	}
	list := map[string]bool{}
	for _, name := range e.names() {
		list[name] = true
	}
	return list
}
