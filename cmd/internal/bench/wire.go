//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"
)

var wireRows = []row{{
	name: "bytes on the wire for one created file", at: tree, small: smallTree,
	growth: []growth{byTree}, run: wire,
	how: "What passes a proxy between scout and scoutmaster, both ways, as TCP carries it, on average of files that are made one by one. " +
		"The heartbeat is set to an hour, so that none of it is in the figure.",
}}

// wire is what a change costs between scout and master.
func wire(ctx context.Context, l *lab, p point) (res result, err error) {
	dir, err := l.watchable(p.files)
	if err != nil {
		return res, err
	}
	m, err := l.master(ctx, "-heartbeat", "1h", "-deadline", "2h")
	if err != nil {
		return res, err
	}
	between, err := newProxy(ctx, m.GRPC)
	if err != nil {
		return res, err
	}
	defer between.close()
	w, err := l.watchFor(ctx, m, between.addr, dir, p.files)
	if err != nil {
		return res, err
	}
	t := &toucher{watched: w, spots: []string{directoryName(0), directoryName(1)}}
	if t.asker, err = newAsker(ctx, m.HTTP); err != nil {
		return res, err
	}
	defer t.clean()
	pause(ctx, l.lasting(3*time.Second, time.Second))
	up, down := between.up.Load(), between.down.Load()
	n := l.rounds(100, 20)
	for i := range n {
		if _, err := t.touch(fileName("created", i)); err != nil {
			return res, err
		}
	}
	pause(ctx, 100*time.Millisecond) // what acknowledges the last
	up, down = between.up.Load()-up, between.down.Load()-down
	res.add(figure{unit: byteCount, value: float64(up+down) / float64(n), bound: atMost(300)})
	res.note("%s up and %s down, for a name of %d bytes.", byteCount.format(float64(up)/float64(n)),
		byteCount.format(float64(down)/float64(n)), len(filepath.Join(t.spots[0], fileName("created", 0))))
	return res, nil
}

// proxy passes on what two ends say and counts the bytes.
type proxy struct {
	listener net.Listener
	addr     string
	up, down atomic.Int64
}

// newProxy returns a proxy that takes connections until it is closed.
func newProxy(ctx context.Context, target string) (*proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, addr: listener.Addr().String()}
	go p.serve(ctx, target)
	return p, nil
}

func (p *proxy) close() { p.listener.Close() } //nolint:errcheck // nothing is expected of it any more

func (p *proxy) serve(ctx context.Context, target string) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.pass(ctx, conn, target)
	}
}

func (p *proxy) pass(ctx context.Context, client net.Conn, target string) {
	defer client.Close() //nolint:errcheck // nothing is expected of it any more
	server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // likewise
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&tally{client, &p.down}, server) //nolint:errcheck // it ends when an end does
		client.Close()                           //nolint:errcheck // likewise
	}()
	io.Copy(&tally{server, &p.up}, client) //nolint:errcheck // likewise
	server.Close()                         //nolint:errcheck // likewise
	<-done
}

// tally counts what is written.
type tally struct {
	io.Writer
	n *atomic.Int64
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	t.n.Add(int64(n))
	return n, err
}
