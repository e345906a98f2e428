package debughttp

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections bounds the open connections of a server, so that its clients
// take no descriptors that the program needs.
const maxConnections = 32

// connections are the open connections of a server. When there are too many, the
// one that has waited longest for a request is closed: a crowd of idle clients
// keeps nobody else out.
type connections struct {
	mu      sync.Mutex
	waiting []net.Conn        // for a request, the longest first
	active  map[net.Conn]bool // with a request
}

// changed is the server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, conn)
	c.waiting = slices.DeleteFunc(c.waiting, func(w net.Conn) bool { return w == conn })
	switch state {
	case http.StateActive:
		c.active[conn] = true
	case http.StateNew, http.StateIdle:
		c.waiting = append(c.waiting, conn)
	}
	if len(c.waiting) > 0 && len(c.waiting)+len(c.active) > maxConnections {
		c.waiting[0].Close() //nolint:errcheck // nobody uses it
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}
