// Package client reads the list of a scoutmaster: which files exist right now,
// on all machines that a scout watches.
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

// Client asks one scoutmaster. It may be used by many goroutines at once.
type Client struct {
	base  *url.URL
	http  *http.Client
	token string
}

// Options are how a scoutmaster is asked. The zero Options will do for one on
// this machine.
type Options struct {
	// HTTP is used in place of [http.DefaultClient]. It must have no Timeout,
	// which would cut long lists and watches off: contexts end those.
	HTTP *http.Client
	// Token is presented with each request, unless it is empty.
	Token string
}

// New returns a Client of the scoutmaster at base, such as
// http://localhost:3001. It connects to nothing yet.
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

// File is one file that exists. Its parts are exact bytes, which are not always
// UTF-8.
type File struct {
	Name      string // relative to Directory, with '/' between its parts
	Host      string
	Directory string // absolute
}

// Path is the absolute path of the file on its host.
func (f File) Path() string { return strings.TrimSuffix(f.Directory, "/") + "/" + f.Name }

// UnmarshalJSON takes an entry as the scoutmaster writes it.
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

// Query selects files. Each kind that is not empty must be met, by one of its
// values. The zero Query selects all files.
type Query struct {
	Hosts       []string
	Directories []string
	Prefixes    []string // of names; any bytes
	Matches     []string // globs on names, ** is any number of directories
}

func (q Query) values() url.Values {
	return url.Values{"host": q.Hosts, "directory": q.Directories, "prefix": q.Prefixes, "match": q.Matches}
}

// ProblemError is the answer to a question that the scoutmaster does not take, as
// RFC 9457 has it.
type ProblemError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (p *ProblemError) Error() string { return fmt.Sprintf("%s (%d)", p.Detail, p.Status) }

// List yields the files in order: by name, then host, then directory. They are
// of one moment. An error, if there is one, comes last.
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

// Unconfirmed is a scout that did not confirm in time that the list has all that
// it knows.
type Unconfirmed struct{ Host, Directory, Reason string }

// UnmarshalJSON takes a scout as the scoutmaster writes it.
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

// Fresh returns the files once every live scout has looked at its disk, so that
// they include each change that was made anywhere before the call. A scout that
// did not confirm that within the time is returned beside them.
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

// get asks /files. The answer is 200, and its body has to be closed.
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
		defer answer.Body.Close() //nolint:errcheck // it says what was wrong, or does not
		return nil, problemOf(answer)
	}
	return answer, nil
}

// problemOf is what an answer other than 200 says.
func problemOf(answer *http.Response) error {
	p := new(ProblemError)
	err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(p)
	if err != nil || p.Detail == "" {
		p = &ProblemError{Detail: "no scoutmaster answers so: " + answer.Status}
	}
	p.Status = answer.StatusCode
	return p
}

// cut says of an end in the middle of an answer what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer was cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
