package web

import "net"

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
