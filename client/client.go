// Package client reads the list of a scoutmaster: the files that exist right now on
// all machines with a scout.
//
//	c, err := client.New("http://localhost:3001", client.Options{})
//	...
//	for file, err := range c.List(ctx, client.Query{Hosts: []string{"web-01"}}) {
//		...
//	}
//
// The module has no public path yet. Another module uses it from a checkout:
//
//	go mod edit -require scout@v0.0.0 -replace scout=/path/to/checkout
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"scout/internal/authorities"
)

// Client reads the list from a scoutmaster, or from any of several that share one
// list. It is safe for concurrent use.
type Client struct {
	bases []*url.URL
	http  *http.Client
	token func() (string, error)

	current atomic.Uint32 // the index of the base that answered last
}

// Options configure a Client. The zero Options suit a scoutmaster on the same
// machine.
type Options struct {
	// HTTP replaces the client that requests are made with. It must not have a
	// Timeout, which would cut off long lists and watches: use contexts to end
	// those. It excludes CAFile.
	HTTP *http.Client
	// Token is sent with each request, unless it is empty.
	Token string
	// TokenFile has the token, as SECRET or NAME:SECRET. It is read for each
	// request, so that it may be replaced while the program runs.
	TokenFile string
	// CAFile has the authorities, in PEM, that the scoutmaster's certificate may be
	// signed by. Without it those of the system count.
	CAFile string
}

// New returns a Client for the scoutmasters at the addresses, URLs such as
// http://localhost:3001, separated by commas. If one does not answer, is cut off or
// is behind what the Client has seen, the next one is asked, with the same tag,
// cursor or id. New does not connect.
func New(addresses string, o Options) (*Client, error) {
	c := &Client{http: o.HTTP, token: func() (string, error) { return o.Token, nil }}
	for base := range strings.SplitSeq(addresses, ",") {
		u, err := url.Parse(strings.TrimSpace(base))
		if err != nil {
			return nil, fmt.Errorf("scoutmaster at %q: %w", base, err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("scoutmaster at %q: give a URL such as http://localhost:3001", base)
		}
		c.bases = append(c.bases, u)
	}
	if o.TokenFile != "" {
		c.token = func() (string, error) { return readToken(o.TokenFile) }
	}
	if c.http != nil {
		return c, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.CAFile != "" {
		pool, err := readAuthorities(o.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{Transport: transport}
	return c, nil
}

// readToken reads the secret in a file that has one token.
func readToken(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	secret := strings.TrimSpace(string(withoutMark(content)))
	if _, after, named := strings.Cut(secret, ":"); named {
		secret = after
	}
	if secret == "" || strings.ContainsAny(secret, " \t\r\n") {
		return "", fmt.Errorf("token: %s does not have one token", file)
	}
	return secret, nil
}

func readAuthorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	return authorities.Parse(file, withoutMark(content))
}

// withoutMark removes the byte order mark that some editors write.
func withoutMark(content []byte) []byte { return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) }

// File is an existing file. Its fields have the exact bytes, which are not always
// UTF-8.
type File struct {
	Name      string // relative to Directory, with '/' between its parts
	Host      string
	Directory string // absolute
}

// Path returns the absolute path of the file on its host.
func (f File) Path() string { return strings.TrimSuffix(f.Directory, "/") + "/" + f.Name }

// UnmarshalJSON decodes an entry of the list.
func (f *File) UnmarshalJSON(text []byte) error {
	var e struct {
		Filename        string `json:"filename"`
		FilenameBase64  []byte `json:"filename_base64"`
		Host            string `json:"host"`
		Directory       string `json:"directory"`
		DirectoryBase64 []byte `json:"directory_base64"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*f = File{exact(e.Filename, e.FilenameBase64), e.Host, exact(e.Directory, e.DirectoryBase64)}
	return nil
}

// MarshalJSON encodes the file as an entry of the list, from which UnmarshalJSON
// restores the exact bytes.
func (f File) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Filename        string `json:"filename"`
		FilenameBase64  []byte `json:"filename_base64,omitempty"`
		Host            string `json:"host"`
		Directory       string `json:"directory"`
		DirectoryBase64 []byte `json:"directory_base64,omitempty"`
	}{f.Name, inexact(f.Name), f.Host, f.Directory, inexact(f.Directory)})
}

func exact(text string, bytes []byte) string {
	if bytes != nil {
		return string(bytes)
	}
	return text
}

// inexact returns the bytes of a text that JSON cannot hold, or nil.
func inexact(text string) []byte {
	if utf8.ValidString(text) {
		return nil
	}
	return []byte(text)
}

// Query selects files. A file matches if each field that is not empty has a value
// that matches. The zero Query selects all files.
type Query struct {
	Hosts       []string
	Directories []string
	Prefixes    []string // of names; any bytes
	Matches     []string // globs on names; ** is any number of directories
	IgnoreCase  bool     // compare names with Prefixes and Matches in lower case
}

func (q Query) values() url.Values {
	values := url.Values{"host": q.Hosts, "directory": q.Directories, "prefix": q.Prefixes, "match": q.Matches}
	if q.IgnoreCase {
		values.Set("ignore_case", "true")
	}
	return values
}

// ProblemError is an error answer of the scoutmaster, as RFC 9457 defines it.
type ProblemError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// RetryAfter is when to ask again, in the opinion of the scoutmaster; 0: it has
	// none.
	RetryAfter time.Duration `json:"-"`
}

func (p *ProblemError) Error() string { return fmt.Sprintf("%s (%d)", p.Detail, p.Status) }

// Is reports whether target is a problem of the same type, so that errors.Is tells
// the problems below apart.
func (p *ProblemError) Is(target error) bool {
	t, ok := target.(*ProblemError)
	return ok && t.Type != "" && t.Type == p.Type
}

// The types of problems, for errors.Is.
var (
	ErrBadQuery           = &ProblemError{Type: "/problems/bad-query"}
	ErrUnauthorized       = &ProblemError{Type: "/problems/unauthorized"}
	ErrUnknownHost        = &ProblemError{Type: "/problems/unknown-host"}
	ErrCursorExpired      = &ProblemError{Type: "/problems/cursor-expired"}
	ErrTooManyConnections = &ProblemError{Type: "/problems/too-many-connections"}
	ErrTooManyWatchers    = &ProblemError{Type: "/problems/too-many-watchers"}
	ErrNotReady           = &ProblemError{Type: "/problems/not-ready"}
	ErrCutOff             = &ProblemError{Type: "/problems/cut-off"}
	ErrCatchingUp         = &ProblemError{Type: "/problems/catching-up"}
	ErrBehind             = &ProblemError{Type: "/problems/behind"}
)

// List yields the files of one version of the list, sorted by name, then host, then
// directory. An error is the last element.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		values := q.values()
		values.Set("format", "ndjson")
		answer, err := c.get(ctx, "files", values, nil)
		if err != nil {
			yield(File{}, err)
			return
		}
		defer answer.Body.Close() //nolint:errcheck // it was read
		lines := bufio.NewReaderSize(answer.Body, 64<<10)
		var f File
		for {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err == nil {
				f, err = decodeLine(line, f)
			}
			if err != nil {
				yield(File{}, cut(err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// decodeLine decodes an entry on a line. Most entries need no JSON decoder, which
// takes ten times as long. It shares the strings that are those of the last entry.
func decodeLine(line []byte, last File) (f File, err error) {
	name, rest, ok := cutText(line, `{"filename":"`)
	host, rest, ok2 := cutText(rest, `,"host":"`)
	directory, rest, ok3 := cutText(rest, `,"directory":"`)
	if !ok || !ok2 || !ok3 || string(rest) != "}\n" {
		err = json.Unmarshal(line, &f)
		return f, err
	}
	f = File{string(name), last.Host, last.Directory}
	if string(host) != f.Host {
		f.Host = string(host)
	}
	if string(directory) != f.Directory {
		f.Directory = string(directory)
	}
	return f, nil
}

// cutText returns the JSON string behind a text that ends in its first quote, and
// the bytes behind it. It is not ok if the string is not there or has escapes.
func cutText(line []byte, before string) (text, rest []byte, ok bool) {
	line, ok = bytes.CutPrefix(line, []byte(before))
	if !ok {
		return nil, nil, false
	}
	text, rest, ok = bytes.Cut(line, []byte{'"'})
	return text, rest, ok && bytes.IndexByte(text, '\\') < 0
}

// Format is a representation of the list.
type Format string

// The formats, as the HTTP API has them.
const (
	JSON   Format = "json"   // an object, an entry on each line
	NDJSON Format = "ndjson" // an entry on each line
	Text   Format = "text"   // an absolute path on each line, safe to print
	NUL    Format = "nul"    // absolute paths in exact bytes, each followed by a NUL byte
)

// Open returns the list as the scoutmaster writes it in a format, which is the
// fastest way to copy it. The caller closes it. A list that was cut off ends with
// another error than io.EOF.
func (c *Client) Open(ctx context.Context, q Query, format Format) (io.ReadCloser, error) {
	values := q.values()
	values.Set("format", string(format))
	answer, err := c.get(ctx, "files", values, nil)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Count returns the number of selected files.
func (c *Client) Count(ctx context.Context, q Query) (int, error) {
	values := q.values()
	values.Set("limit", "1")
	values.Set("count", "true")
	answer, err := c.get(ctx, "files", values, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var body struct {
		Count *int `json:"count"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return 0, cut(err)
	}
	if body.Count == nil {
		return 0, errors.New("the scoutmaster is too old to count")
	}
	return *body.Count, nil
}

// Unconfirmed is a scout that did not confirm in time that the list has all its
// files; or, without Host and Directory, a scoutmaster of the fleet that did not
// answer.
type Unconfirmed struct{ Host, Directory, Reason, Scoutmaster string }

// String returns what is unconfirmed, and the reason.
func (u Unconfirmed) String() string {
	if u.Scoutmaster != "" {
		return fmt.Sprintf("scoutmaster %s: %s", u.Scoutmaster, u.Reason)
	}
	return fmt.Sprintf("%s: %s: %s", u.Host, u.Directory, u.Reason)
}

// UnmarshalJSON decodes an unconfirmed scout or scoutmaster.
func (u *Unconfirmed) UnmarshalJSON(text []byte) error {
	var s struct {
		Host            string `json:"host"`
		Directory       string `json:"directory"`
		DirectoryBase64 []byte `json:"directory_base64"`
		Reason          string `json:"reason"`
		Scoutmaster     string `json:"scoutmaster"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*u = Unconfirmed{s.Host, exact(s.Directory, s.DirectoryBase64), s.Reason, s.Scoutmaster}
	return nil
}

// MarshalJSON encodes what is unconfirmed as the scoutmaster does.
func (u Unconfirmed) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scoutmaster     string `json:"scoutmaster,omitempty"`
		Host            string `json:"host,omitempty"`
		Directory       string `json:"directory,omitempty"`
		DirectoryBase64 []byte `json:"directory_base64,omitempty"`
		Reason          string `json:"reason"`
	}{u.Scoutmaster, u.Host, u.Directory, inexact(u.Directory), u.Reason})
}

// Fresh makes every live scout look at its disk, and then returns the files. They
// include every change that was made before the call, except on the unconfirmed
// scouts, which Fresh returns as well, and scouts of unconfirmed scoutmasters.
func (c *Client) Fresh(ctx context.Context, q Query, within time.Duration) (list []File, unconfirmed []Unconfirmed, err error) {
	unconfirmed, err = c.EachFresh(ctx, q, within, func(f File) error {
		list = append(list, f)
		return nil
	})
	return list, unconfirmed, err
}

// EachFresh is Fresh for a list that is too long to be held: it calls each with the
// files, one after the other, as they come. An error of each ends it, and is returned.
func (c *Client) EachFresh(ctx context.Context, q Query, within time.Duration, each func(File) error) ([]Unconfirmed, error) {
	values := q.values()
	values.Set("fresh", within.String())
	answer, err := c.get(ctx, "files", values, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var unconfirmed []Unconfirmed
	d := json.NewDecoder(answer.Body)
	err = eachField(d, func(name string) error {
		switch name {
		case "files":
			return eachFile(d, each)
		case "unconfirmed":
			return d.Decode(&unconfirmed)
		}
		return d.Decode(new(json.RawMessage)) // of a later version
	})
	return unconfirmed, cut(err)
}

// eachField reads an object, and calls read for the value of each field.
func eachField(d *json.Decoder, read func(name string) error) error {
	if err := next(d, json.Delim('{')); err != nil {
		return err
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		if err := read(token.(string)); err != nil { // a name: the decoder accepts nothing else here
			return err
		}
	}
	return next(d, json.Delim('}'))
}

// eachFile reads the entries of a list.
func eachFile(d *json.Decoder, each func(File) error) (err error) {
	if err := next(d, json.Delim('[')); err != nil {
		return err
	}
	var text json.RawMessage
	for f := (File{}); d.More(); {
		if err := d.Decode(&text); err != nil {
			return err
		}
		text = append(text, '\n')
		if f, err = decodeLine(text, f); err != nil {
			return err
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return next(d, json.Delim(']'))
}

// next reads a token that must be the one given.
func next(d *json.Decoder, want json.Token) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("the answer has %v in place of %v", token, want)
	}
	return err
}

// Page is a part of the list, and which version of the list it is of.
type Page struct {
	Files []File
	Next  string // the cursor of the next page; empty: this is the last one
	Tag   string // of the whole list at that time, for Wait
}

// Page returns at most limit files of the selection, from a cursor on. An empty
// cursor is the beginning. All pages together have each file that existed
// throughout exactly once.
func (c *Client) Page(ctx context.Context, q Query, limit int, cursor string) (Page, error) {
	values := q.values()
	values.Set("limit", strconv.Itoa(limit))
	if cursor != "" {
		values.Set("after", cursor)
	}
	answer, err := c.get(ctx, "files", values, nil)
	if err != nil {
		return Page{}, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var body struct {
		Files []File `json:"files"`
		Next  string `json:"next"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return Page{}, cut(err)
	}
	return Page{body.Files, body.Next, answer.Header.Get("ETag")}, nil
}

// Wait waits until a selected file has come or gone since the list with a tag, but
// no longer than for the given time, at most five minutes. It returns the tag of
// the list as it is then, and whether a file has. An empty tag is none: Wait
// returns the current one at once.
func (c *Client) Wait(ctx context.Context, q Query, tag string, within time.Duration) (now string, changed bool, err error) {
	values := q.values()
	values.Set("limit", "1")
	header := http.Header{}
	if tag != "" {
		values.Set("wait", within.String())
		header.Set("If-None-Match", tag)
	}
	answer, err := c.get(ctx, "files", values, header)
	if err != nil {
		return "", false, err
	}
	defer answer.Body.Close() //nolint:errcheck // only its header counts
	return answer.Header.Get("ETag"), answer.StatusCode != http.StatusNotModified, nil
}

// answerTime is how long a scoutmaster may take to begin its answer, beyond the time
// that the request lets it wait, if there is another one to ask: a frozen machine
// accepts connections.
const answerTime = 10 * time.Second

var errNoAnswer = errors.New("the scoutmaster did not answer in time")

// get requests a path. If it returns no error, the status is 200 or 304 and the
// caller has to close the body. It asks one scoutmaster after the other, from the
// one that answered last, until one is there and ready and has the revision that
// the request has seen.
func (c *Client) get(ctx context.Context, path string, values url.Values, header http.Header) (answer *http.Response, err error) {
	first := int(c.current.Load())
	for i := range c.bases {
		at := (first + i) % len(c.bases)
		answer, err = c.getInTime(ctx, c.bases[at], path, values, header)
		p, isProblem := errors.AsType[*ProblemError](err)
		if err == nil || ctx.Err() != nil || isProblem && !p.passing() {
			c.current.Store(uint32(at))
			return answer, err
		}
	}
	return nil, err
}

// getInTime is getFrom that does not wait for ever if there are other scoutmasters.
func (c *Client) getInTime(ctx context.Context, base *url.URL, path string, values url.Values, header http.Header) (*http.Response, error) {
	if len(c.bases) == 1 {
		return c.getFrom(ctx, base, path, values, header)
	}
	limit := answerTime
	for _, wait := range []string{"wait", "fresh"} {
		if d, err := time.ParseDuration(values.Get(wait)); err == nil {
			limit += d
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(limit, func() { cancel(errNoAnswer) })
	answer, err := c.getFrom(ctx, base, path, values, header)
	late.Stop()
	if err != nil {
		err = orCause(ctx, err)
		cancel(nil)
		return nil, err
	}
	answer.Body = &endingBody{answer.Body, func() { cancel(nil) }}
	return answer, nil
}

// orCause returns errNoAnswer if that is why ctx is done, else err.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errNoAnswer) {
		return cause
	}
	return err
}

// endingBody calls end when it is closed.
type endingBody struct {
	io.ReadCloser

	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (c *Client) getFrom(ctx context.Context, base *url.URL, path string, values url.Values, header http.Header) (*http.Response, error) {
	u := base.JoinPath(path)
	u.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.http.Do(request)
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode == http.StatusNotModified, answer.StatusCode == http.StatusOK && isOurs(answer):
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // the answer is an error already
	return nil, problemOf(answer)
}

// isOurs reports whether an answer is of a type that scoutmasters send to such a
// request. The page of a proxy that asks for a login is not.
func isOurs(answer *http.Response) bool {
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	switch Format(answer.Request.URL.Query().Get("format")) {
	case Text:
		return kind == "text/plain"
	case NUL:
		return kind == "application/octet-stream"
	}
	return kind == "application/json" || kind == "application/x-ndjson"
}

// problemOf returns the error in an answer.
func problemOf(answer *http.Response) error {
	p := new(ProblemError)
	err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(p)
	if err != nil || p.Detail == "" {
		p = &ProblemError{Detail: "this is not an answer of a scoutmaster: " + answer.Status}
	}
	p.Status = answer.StatusCode
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

// cut turns an end of file within an answer into an error that says so.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer was cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
