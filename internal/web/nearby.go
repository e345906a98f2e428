package web

import "net"

// nearbyQueue is how many bytes may wait for a client on the same machine. It
// reads as fast as it can be written to, and what waits in a long queue has left
// the processor's cache by the time that it is read. The system's own queues
// grow to megabytes, which suits long ways only.
const nearbyQueue = 256 << 10

// Nearby is a listener whose connections from the same machine have short
// queues.
func Nearby(l net.Listener) net.Listener { return nearby{l} }

type nearby struct{ net.Listener }

func (l nearby) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok && isNearby(tcp.RemoteAddr()) {
		_ = tcp.SetWriteBuffer(nearbyQueue) // it is as good as it was, otherwise
	}
	return conn, err
}

func isNearby(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
