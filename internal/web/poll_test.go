package web

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		a := lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
		b := lab.list.Show(listingtest.Origin(2), filestest.Set("a"), nil)
		const mine = "host=host-499&prefix=a"
		tag := lab.ask(t.Context(), mine).Header.Get("ETag")
		poll := func(known string, meanwhile func()) (status int, newTag string, took time.Duration) {
			began, answer := time.Now(), make(chan *http.Response)
			go func() { answer <- lab.ask(t.Context(), mine+"&wait=30s", "If-None-Match", known) }()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			meanwhile()
			r := <-answer
			return r.StatusCode, r.Header.Get("ETag"), time.Since(began)
		}
		other := func() { lab.change(b, []string{"a"}, "b"); lab.change(a, nil, "other") }
		status, newTag, took := poll(tag, other)
		if status != 304 || newTag == tag || took != 30*time.Second {
			t.Errorf("what is not asked for: %d, %s after %s", status, newTag, took)
		}
		if status, _, took = poll(tag, func() {}); status != 304 || took != 30*time.Second {
			t.Errorf("what is known to be the same: %d after %s", status, took)
		}
		status, newTag, took = poll(newTag, func() { lab.change(a, nil, "ab") })
		if status != 200 || newTag == tag || took != 10*time.Second {
			t.Errorf("what is asked for: %d, %s after %s", status, newTag, took)
		}
		for what, known := range map[string]string{"outdated": tag, "another's": `W/"0000000000000001-3-json"`, "none": `"x"`} {
			began := time.Now()
			if r := lab.ask(t.Context(), mine+"&wait=30s", "If-None-Match", known); r.StatusCode != 200 || time.Since(began) != 0 {
				t.Errorf("a tag that is %s: %s after %s", what, r.Status, time.Since(began))
			}
		}
	})
}
