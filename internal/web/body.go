package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"go.uber.org/zap"

	"scout/internal/render"
)

// send writes a body that may be long, unless the request is for the headers
// alone. write is called again if it has to be known how long the body is, and must
// then write the same.
//
// A body that breaks off ends the connection, so that it does not pass for a whole
// one: in HTTP/1.1 and HTTP/2 the mark of the end is missing. HTTP/1.0, which nginx
// speaks to servers by default, has no such mark but the length.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, c render.Coding, write func(io.Writer) error) {
	if c != render.Identity {
		w.Header().Set("Content-Encoding", c.String())
	}
	if r.Method == http.MethodHead {
		return
	}
	if !r.ProtoAtLeast(1, 1) {
		n := new(byteCount)
		h.abortOn(write(n), r)
		w.Header().Set("Content-Length", strconv.FormatInt(int64(*n), 10))
	}
	h.abortOn(write(&response{w: w, control: http.NewResponseController(w)}), r)
}

// abortOn ends the connection if a body could not be written.
func (h *Handler) abortOn(err error, r *http.Request) {
	if err != nil {
		h.log.Debug("client left", zap.String("remote", r.RemoteAddr), zap.Error(err))
		panic(http.ErrAbortHandler)
	}
}

// byteCount is a writer that counts.
type byteCount int64

func (n *byteCount) Write(piece []byte) (int, error) {
	*n += byteCount(len(piece))
	runtime.Gosched() // as in response
	return len(piece), nil
}

// writeTimeout is for how long a client may accept nothing of a list.
const writeTimeout = 5 * time.Minute

// response is a body that is written in pieces, each within writeTimeout.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *response) Write(piece []byte) (int, error) {
	err := p.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("set a write deadline: %w", err)
	}
	n, err := p.w.Write(piece)
	runtime.Gosched() // clients that read long lists must not delay the scouts
	return n, err
}

// buffered serves a path of another handler whose answers are short, each with its
// length.
func buffered(other http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := &bufferedAnswer{ResponseWriter: w, status: http.StatusOK}
		other.ServeHTTP(b, r)
		w.Header().Set("Content-Length", strconv.Itoa(b.body.Len()))
		w.WriteHeader(b.status)
		w.Write(b.body.Bytes()) //nolint:errcheck // the client has left
	}
}

// bufferedAnswer is an answer that is kept until it is whole.
type bufferedAnswer struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (b *bufferedAnswer) WriteHeader(status int)      { b.status = status }
func (b *bufferedAnswer) Write(p []byte) (int, error) { return b.body.Write(p) }

// loopbackQueue is how many bytes may wait for a client on the same machine. The
// client reads as fast as the server writes, and bytes that wait in a long queue
// have left the processor's cache by the time that they are read. The queues of
// the system grow to megabytes, which suits long distances only.
const loopbackQueue = 256 << 10

// ShortLoopbackQueues returns a listener whose connections over loopback have
// short queues.
func ShortLoopbackQueues(l net.Listener) net.Listener { return loopbackListener{l} }

type loopbackListener struct{ net.Listener }

func (l loopbackListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok && isLoopback(tcp.RemoteAddr()) {
		_ = tcp.SetWriteBuffer(loopbackQueue) // without it the answer is right all the same
	}
	return conn, err
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
