package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"scout/cmd/internal/cli"
	"scout/internal/access"
	"scout/internal/stream"
)

// Limits on what a peer may cost that no installation needs to change.
const (
	maxMessage       = 4 << 20          // bytes of a scout's message; the protocol allows at least 64 KiB
	maxStreams       = 1000             // on one gRPC connection; a scout needs one
	handshakeTimeout = 5 * time.Second  // until a new gRPC connection is ready
	messageTimeout   = 10 * time.Second // until the first message of a gRPC call has come
	headerTimeout    = 10 * time.Second
	maxHeader        = 64 << 10 // bytes of a request's header, over gRPC and HTTP
)

// limits are the limits that flags set. 0 means no limit.
type limits struct {
	held        stream.Limits
	connections uint64 // from one address, to each listener
}

func (l *limits) flags() []cli.Flag {
	return []cli.Flag{
		{
			Name: "max-scouts", Value: "NUMBER", Default: "20000", Set: cli.To(&l.held.Scouts, parseLimit),
			Usage: "how many scouts may be registered; 0 here and below means no limit",
		},
		{
			Name: "max-files-per-scout", Value: "NUMBER", Default: "20000000", Set: cli.To(&l.held.FilesPerScout, parseLimit),
			Usage: "how many files one scout may show",
		},
		{
			Name: "max-files", Value: "NUMBER", Default: "100000000", Set: cli.To(&l.held.Files, parseLimit),
			Usage: "how many files all scouts together may show",
		},
		{
			Name: "max-name-bytes-per-scout", Value: "BYTES", Default: "2GiB", Set: cli.To(&l.held.NameBytesPerScout, parseBytes),
			Usage: "how many bytes the names of one scout's files may have together",
		},
		{
			Name: "max-name-bytes", Value: "BYTES", Default: "8GiB", Set: cli.To(&l.held.NameBytes, parseBytes),
			Usage: "how many bytes all names may have together",
		},
		{
			Name: "max-connections-per-address", Value: "NUMBER", Default: "16384", Set: cli.To(&l.connections, parseLimit),
			Usage: "how many connections to each listener may come from one address, and never more than 7/8 of those that the limit of open files allows it",
		},
	}
}

// connectionsWithin returns the limits of a listener that may have so many
// connections.
func (l *limits) connectionsWithin(total int) access.Limits {
	return access.Limits{Total: total, Address: int(min(l.connections, math.MaxInt32))}
}

// grpcLimits are the limits of a gRPC server.
func grpcLimits() []grpc.ServerOption {
	return append(slices.Concat(access.StreamLimit(maxStreams), access.FirstMessage(messageTimeout)),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeader),
	)
}

// parseLimit parses a bound on a number of things. 0 means no bound.
func parseLimit(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number such as 1000, or 0 for no limit", s)
	}
	return n, nil
}

// maxCount bounds a count.
const maxCount = 1_000_000

// parseCount parses a number of things. 0 means none.
func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxCount {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", s, maxCount)
	}
	return n, nil
}

// units are the units of parseBytes. A unit whose name ends another's comes last.
var units = []struct {
	name  string
	bytes uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// parseBytes parses a number of bytes such as 4096, 64KiB or 2GiB. 0 means no
// bound.
func parseBytes(s string) (uint64, error) {
	digits, factor := s, uint64(1)
	for _, unit := range units {
		if d, ok := strings.CutSuffix(s, unit.name); ok {
			digits, factor = d, unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a number of bytes such as 4096, 64KiB or 2GiB, or 0 for no limit", s)
	}
	return n * factor, nil
}
