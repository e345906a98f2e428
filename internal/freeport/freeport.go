// Package freeport reserves TCP ports of the loopback address for the programs that tests,
// measurements and demos start, perhaps later, and perhaps again.
package freeport

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
)

const (
	// first and last bound the ports, which are below those that kernels give to others.
	first = 12000
	last  = 31999
)

var (
	mu   sync.Mutex
	next = first + os.Getpid()%8000 // so that processes rarely try the same ports

	// claims are sockets of UDP with the numbers of the reserved ports. While this process
	// runs no other one that uses this package can have them, even if nobody listens.
	claims []net.PacketConn
)

// Reserve returns a port that nobody listens on. Until this process ends it is not
// reserved again, here or in another process.
func Reserve() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	port, err := reserve(next)
	if err == nil {
		next = port + 1
	}
	return port, err
}

// reserve reserves the first port from one on that is free. The caller holds mu.
func reserve(from int) (int, error) {
	for port := from; port <= last; port++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		var config net.ListenConfig
		claim, err := config.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			continue
		}
		if l, err := config.Listen(context.Background(), "tcp", address); err == nil {
			claims = append(claims, claim)
			return port, l.Close()
		}
		_ = claim.Close()
	}
	return 0, errors.New("no port is free")
}
