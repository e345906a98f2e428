// Package client reads the list of a scoutmaster: the files that exist right now on
// all machines with a scout.
//
//	c, err := client.New("http://localhost:3001", client.Options{})
//	...
//	for file, err := range c.List(ctx, client.Query{Hosts: []string{"web-01"}}) {
//		...
//	}
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client reads from one scoutmaster. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	http  *http.Client
	token string
}

// Options configure a Client. The zero Options suit a scoutmaster on the same
// machine.
type Options struct {
	// HTTP replaces [http.DefaultClient]. It must not have a Timeout, which would
	// cut off long lists and watches: use contexts to end those.
	HTTP *http.Client
	// Token is sent with each request, unless it is empty.
	Token string
}

// New returns a Client for the scoutmaster at base, such as http://localhost:3001.
// It does not connect.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("scoutmaster at %q: %w", base, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("scoutmaster at %q: give a URL such as http://localhost:3001", base)
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	return &Client{base: u, http: o.HTTP, token: o.Token}, nil
}

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

func exact(text string, bytes []byte) string {
	if bytes != nil {
		return string(bytes)
	}
	return text
}

// Query selects files. A file matches if each field that is not empty has a value
// that matches. The zero Query selects all files.
type Query struct {
	Hosts       []string
	Directories []string
	Prefixes    []string // of names; any bytes
	Matches     []string // globs on names; ** is any number of directories
}

func (q Query) values() url.Values {
	return url.Values{"host": q.Hosts, "directory": q.Directories, "prefix": q.Prefixes, "match": q.Matches}
}

// ProblemError is an error answer of the scoutmaster, as RFC 9457 defines it.
type ProblemError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (p *ProblemError) Error() string { return fmt.Sprintf("%s (%d)", p.Detail, p.Status) }

// List yields the files of one version of the list, sorted by name, then host, then
// directory. An error is the last element.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		values := q.values()
		values.Set("format", "ndjson")
		answer, err := c.get(ctx, values, nil)
		if err != nil {
			yield(File{}, err)
			return
		}
		defer answer.Body.Close() //nolint:errcheck // it was read
		for d := json.NewDecoder(answer.Body); ; {
			var f File
			err := d.Decode(&f)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(f, cut(err)) || err != nil {
				return
			}
		}
	}
}

// Unconfirmed is a scout that did not confirm in time that the list has all its
// files.
type Unconfirmed struct{ Host, Directory, Reason string }

// UnmarshalJSON decodes an unconfirmed scout.
func (u *Unconfirmed) UnmarshalJSON(text []byte) error {
	var s struct {
		Host            string `json:"host"`
		Directory       string `json:"directory"`
		DirectoryBase64 []byte `json:"directory_base64"`
		Reason          string `json:"reason"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*u = Unconfirmed{s.Host, exact(s.Directory, s.DirectoryBase64), s.Reason}
	return nil
}

// Fresh makes every live scout look at its disk, and then returns the files. They
// include every change that was made before the call, except on the unconfirmed
// scouts, which Fresh returns as well.
func (c *Client) Fresh(ctx context.Context, q Query, within time.Duration) ([]File, []Unconfirmed, error) {
	values := q.values()
	values.Set("fresh", within.String())
	answer, err := c.get(ctx, values, nil)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var body struct {
		Files       []File        `json:"files"`
		Unconfirmed []Unconfirmed `json:"unconfirmed"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return nil, nil, cut(err)
	}
	return body.Files, body.Unconfirmed, nil
}

// get requests /files. If it returns no error, the status is 200 and the caller has
// to close the body.
func (c *Client) get(ctx context.Context, values url.Values, header http.Header) (*http.Response, error) {
	u := c.base.JoinPath("files")
	u.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close() //nolint:errcheck // the answer is an error already
		return nil, problemOf(answer)
	}
	return answer, nil
}

// problemOf returns the error in an answer other than 200.
func problemOf(answer *http.Response) error {
	p := new(ProblemError)
	err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(p)
	if err != nil || p.Detail == "" {
		p = &ProblemError{Detail: "this is not an answer of a scoutmaster: " + answer.Status}
	}
	p.Status = answer.StatusCode
	return p
}

// cut turns an end of file within an answer into an error that says so.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer was cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
