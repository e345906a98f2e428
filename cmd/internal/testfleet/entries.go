package testfleet

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"unicode/utf8"
)

// Entry is one entry of the list.
type Entry struct {
	Filename        string `json:"filename"`
	FilenameBase64  string `json:"filename_base64"`
	Host            string `json:"host"`
	Directory       string `json:"directory"`
	DirectoryBase64 string `json:"directory_base64"`
}

// Name returns the exact bytes of the filename.
func (e Entry) Name() string { return exact(e.Filename, e.FilenameBase64) }

// Dir returns the exact bytes of the directory.
func (e Entry) Dir() string { return exact(e.Directory, e.DirectoryBase64) }

func exact(text, encoded string) string {
	if b, err := base64.StdEncoding.DecodeString(encoded); err == nil && encoded != "" {
		return string(b)
	}
	return text
}

func (e Entry) compare(f Entry) int {
	return cmp.Or(strings.Compare(e.Name(), f.Name()), strings.Compare(e.Host, f.Host), strings.Compare(e.Dir(), f.Dir()))
}

// check checks that the text shows the bytes, one U+FFFD for each bad one, and
// that the base64 is there exactly when it is needed.
func check(text, encoded, exact string) error {
	if (encoded != "") == utf8.ValidString(exact) {
		return fmt.Errorf("%q has the base64 %q", text, encoded)
	}
	if shown := string([]rune(exact)); encoded != "" && text != shown {
		return fmt.Errorf("%q shows %q", text, exact)
	}
	return nil
}

// WrongListError is a list that no scoutmaster may ever give.
type WrongListError struct{ error }

// ParseList reads a whole list strictly: known fields, one entry a line, in
// order, none twice, and exact bytes where the text cannot say them. A list that
// breaks this is a WrongListError.
func ParseList(body []byte) ([]Entry, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var list struct{ Files []Entry }
	err := d.Decode(&list)
	if err != nil {
		err = fmt.Errorf("%w: %.200q", err, body)
	} else {
		err = errors.Join(checkLines(body, len(list.Files)), checkEntries(list.Files))
	}
	if err != nil {
		return nil, &WrongListError{err}
	}
	return list.Files, nil
}

// ParseEntries reads the entries of any JSON that has them as files: a whole
// list, a page or an event. They are in order and none is there twice, or the
// error is a WrongListError.
func ParseEntries(body []byte) ([]Entry, error) {
	var list struct{ Files []Entry }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, &WrongListError{fmt.Errorf("%w: %.200q", err, body)}
	}
	if err := checkEntries(list.Files); err != nil {
		return nil, &WrongListError{err}
	}
	return list.Files, nil
}

func checkEntries(entries []Entry) error {
	for i, e := range entries {
		if err := cmp.Or(check(e.Filename, e.FilenameBase64, e.Name()), check(e.Directory, e.DirectoryBase64, e.Dir())); err != nil {
			return err
		}
		if i > 0 && entries[i-1].compare(e) >= 0 {
			return fmt.Errorf("entry %d is %+v, after %+v", i, e, entries[i-1])
		}
	}
	return nil
}

// checkLines checks the lines that line tools rely on.
func checkLines(body []byte, entries int) error {
	if !utf8.Valid(body) {
		return errors.New("the list is not UTF-8")
	}
	if entries == 0 {
		if string(body) != `{"files":[]}` {
			return fmt.Errorf("the empty list is %q", body)
		}
		return nil
	}
	lines := strings.Split(string(body), "\n")
	if len(lines) != entries+2 || lines[0] != `{"files":[` || lines[entries+1] != `]}` {
		return fmt.Errorf("%d entries in %d lines, from %.99q to %.99q", entries, len(lines), lines[0], lines[len(lines)-1])
	}
	for i, line := range lines[1 : entries+1] {
		text, comma := strings.CutSuffix(line, ",")
		if comma == (i == entries-1) || !strings.HasPrefix(text, `{"filename":"`) || !strings.HasSuffix(text, `"}`) {
			return fmt.Errorf("line %d of %d is %q", i+2, entries+2, line)
		}
	}
	return nil
}

// Names returns the names that entries have of a scout.
func Names(entries []Entry, host, dir string) (names []string) {
	for _, e := range entries {
		if e.Host == host && e.Dir() == dir {
			names = append(names, e.Name())
		}
	}
	return names
}

// Find returns the names that must be listed of a directory, sorted. It asks
// find(1), which is the judge.
func Find(dir string) ([]string, error) {
	out, err := exec.Command("find", dir, "!", "-type", "d", "-printf", `%P\0`).Output()
	if err != nil {
		return nil, fmt.Errorf("find %q: %w", dir, err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

// Diff returns an error that says how the names that are listed differ from
// those that find has, or nil. Both are sorted.
func Diff(listed, found []string) error {
	if slices.Equal(listed, found) {
		return nil
	}
	missing, extra := Without(found, listed), Without(listed, found)
	return fmt.Errorf("%d names are listed, find has %d: missing %d: %.300q; too many %d: %.300q",
		len(listed), len(found), len(missing), missing[:min(8, len(missing))], len(extra), extra[:min(8, len(extra))])
}

// Without returns the names that are in a and not in b.
func Without(a, b []string) (rest []string) {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	for _, s := range a {
		if !in[s] {
			rest = append(rest, s)
		}
	}
	return rest
}

// Change is one event that a watcher of the list receives.
type Change struct {
	Kind string // add, remove, reset or heartbeat
	ID   string
	Data []byte // JSON with the entries, or nil
}

// ReadEvent reads one event of a text/event-stream. A comment has no Kind.
func ReadEvent(r *bufio.Reader) (c Change, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return c, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "":
			if line == "" {
				return c, nil
			}
		case "event":
			c.Kind = value
		case "id":
			c.ID = value
		case "data":
			c.Data = append(c.Data, value...)
		default:
			return c, fmt.Errorf("a line of an event is %.99q", line)
		}
	}
}

// ReadLine reads one event of a stream of ndjson.
func ReadLine(r *bufio.Reader) (Change, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return Change{}, err
	}
	var l struct{ Event, ID string }
	if err := json.Unmarshal(line, &l); err != nil {
		return Change{}, fmt.Errorf("%w: %.99q", err, line)
	}
	return Change{l.Event, l.ID, line}, nil
}
