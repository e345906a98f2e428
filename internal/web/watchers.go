package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"

	"go.uber.org/zap"
)

// watchers are those who wait for changes: readers of events and long polls.
type watchers struct {
	most int
	log  *zap.Logger

	ended context.Context // done when all must leave
	end   context.CancelFunc

	mu      sync.Mutex
	now     int
	refused bool // somebody was, since there was room
}

func newWatchers(most int, log *zap.Logger) *watchers {
	ws := &watchers{most: most, log: log}
	ws.ended, ws.end = context.WithCancel(context.Background())
	return ws
}

// enter lets one more in, who calls leave in the end. Otherwise it has answered.
func (ws *watchers) enter(w http.ResponseWriter) (leave func(), ok bool) {
	ws.mu.Lock()
	full, first := ws.now >= ws.most, !ws.refused
	if full {
		ws.refused = true
	} else {
		ws.now++
	}
	ws.mu.Unlock()
	if !full {
		return ws.leave, true
	}
	if first {
		ws.log.Warn("watchers refused", zap.Int("watchers", ws.most))
	}
	w.Header().Set("Retry-After", strconv.Itoa(retryLeast+rand.IntN(retryMost-retryLeast+1)))
	tooManyWatchers.answer(w, fmt.Sprintf("%d clients watch the list or wait for it to change, and no more may at once; try again later, or ask without watching", ws.most))
	return nil, false
}

// Seconds after which one who is refused may come again, spread out.
const (
	retryLeast = 2
	retryMost  = 10
)

func (ws *watchers) leave() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.now--
	ws.refused = false
}

// context returns one that is done with the request, or when all must leave.
func (ws *watchers) context(request context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(request)
	forget := context.AfterFunc(ws.ended, cancel)
	return ctx, func() { forget(); cancel() }
}
