//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What a consumer kept from before a restart of the master, a tag, a cursor or
// the id of an event, is never good afterwards: not even when the list is the
// same, byte for byte, after as many changes. Nor does anybody wait for what has
// changed already.
func TestTagsAndCursorsFromBefore(t *testing.T) {
	t.Parallel()
	ports := []string{"-grpc", freePort(t), "-http", freePort(t)}
	m := startMaster(t, ports...)
	dir := tempDir(t)
	names := fill(t, dir, 10)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	tags, cursors, ids := map[string]bool{}, []string{}, []string{}
	for range 4 {
		for _, id := range ids {
			if event, _, err := m.firstEvent(id); err != nil || event != "reset" {
				t.Errorf("with an event's id from before: %s, %v", event, err)
			}
		}
		for tag := range tags {
			began := time.Now()
			if status, _, err := m.ask("/files?wait=40s", tag); err != nil || status != http.StatusOK || time.Since(began) > patience {
				t.Errorf("waiting with a tag from before: %d after %s, %v", status, time.Since(began), err)
			}
			if status, _, err := m.ask("/files", tag); err != nil || status != http.StatusOK {
				t.Errorf("with a tag from before: %d, %v", status, err)
			}
		}
		for _, cursor := range cursors {
			if status, problem, err := m.ask("/files?limit=3&after="+url.QueryEscape(cursor), ""); err != nil || status != http.StatusGone {
				t.Errorf("with a cursor from before: %d, %s, %v", status, problem, err)
			}
		}
		tag, cursor, err := m.keepsakes()
		must(t, err)
		if status, _, err := m.ask("/files", tag); err != nil || status != http.StatusNotModified {
			t.Errorf("with the tag of now: %d, %v", status, err)
		}
		if status, _, err := m.ask("/files?limit=3&after="+url.QueryEscape(cursor), ""); err != nil || status != http.StatusOK {
			t.Errorf("with a cursor of now: %d, %v", status, err)
		}
		_, id, err := m.firstEvent("")
		must(t, err)
		ids = append(ids, id)
		if tags[tag] {
			t.Errorf("the tag %s was given before the restart", tag)
		}
		tags[tag] = true
		cursors = append(cursors, cursor)

		kill(t, m.Process)
		m = startMaster(t, ports...)
		within(t, patience, func() error { return m.lists("h", dir, names...) })
	}
	// While nothing is listed yet the tag is not that of another empty list.
	kill(t, m.Process)
	kill(t, s.Process)
	empty := ""
	for range 3 {
		m = startMaster(t, ports...)
		status, tag, err := m.ask("/files", empty)
		if err != nil || status != http.StatusOK || tag == empty {
			t.Errorf("an empty list after a restart: %d, tag %s after %s, %v", status, tag, empty, err)
		}
		empty = tag
		kill(t, m.Process)
	}
}

// ask asks for a path, of which something with the tag is known, and returns
// the status and the tag of the answer.
func (m *master) ask(path, tag string) (status int, now string, err error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+m.HTTP+path, nil)
	if err != nil {
		return 0, "", err
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("ETag"), nil
}

// keepsakes are what a consumer keeps of an answer: its tag and its cursor.
func (m *master) keepsakes() (tag, cursor string, err error) {
	body, err := m.Get("/files?limit=3")
	if err != nil {
		return "", "", err
	}
	var page struct{ Next string }
	if err := json.Unmarshal(body, &page); err != nil {
		return "", "", fmt.Errorf("%w: %s", err, body)
	}
	_, tag, err = m.ask("/files", "")
	if err == nil && (page.Next == "" || !strings.HasPrefix(tag, `W/"`)) {
		err = errors.New("no cursor, or no weak tag")
	}
	return tag, page.Next, err
}

// firstEvent watches the list from an event's id on, or from now on, and returns
// what comes first, and its id.
func (m *master) firstEvent(from string) (event, id string, err error) {
	path := "/files?format=ndjson&watch=true"
	if from != "" {
		path += "&last_event_id=" + url.QueryEscape(from)
	}
	answer, err := client.Get("http://" + m.HTTP + path)
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	var first struct{ Event, ID string }
	if err := json.NewDecoder(answer.Body).Decode(&first); err != nil || first.ID == "" {
		return "", "", fmt.Errorf("%s: %+v: %w", answer.Status, first, err)
	}
	return first.Event, first.ID, nil
}
