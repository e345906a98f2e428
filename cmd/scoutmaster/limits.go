package main

import (
	"time"

	"google.golang.org/grpc"

	"scout/cmd/internal/cli"
	"scout/internal/access"
	"scout/internal/stream"
)

// limits is how much strangers may cost. Those of the kind int are at most
// what fits into 31 bits; 0 is no limit where that is possible.
type limits struct {
	held stream.Limits

	message          int // bytes
	streams          int // of a connection
	connections      int // from an address, to each listener
	handshakeTimeout time.Duration
	headerTimeout    time.Duration
	header           int // bytes
	query            int // bytes
}

func (l *limits) flags() []cli.Flag {
	return []cli.Flag{
		{
			Name: "max-scouts", Value: "NUMBER", Default: "20000", Set: cli.To(&l.held.Scouts, cli.Limit),
			Usage: "how many scouts may be registered; 0 here and below: any number",
		},
		{
			Name: "max-files-per-scout", Value: "NUMBER", Default: "20000000", Set: cli.To(&l.held.FilesPerScout, cli.Limit),
			Usage: "how many files one scout may show",
		},
		{
			Name: "max-files", Value: "NUMBER", Default: "100000000", Set: cli.To(&l.held.Files, cli.Limit),
			Usage: "how many files all scouts together may show",
		},
		{
			Name: "max-name-bytes-per-scout", Value: "BYTES", Default: "2GiB", Set: cli.To(&l.held.NameBytesPerScout, cli.Bytes),
			Usage: "how long the names of one scout's files may be together",
		},
		{
			Name: "max-name-bytes", Value: "BYTES", Default: "8GiB", Set: cli.To(&l.held.NameBytes, cli.Bytes),
			Usage: "how long all names may be together",
		},
		{
			Name: "max-message-bytes", Value: "BYTES", Default: "4MiB", Set: cli.To(&l.message, cli.SmallBytes),
			Usage: "how long one message of a scout may be",
		},
		{
			Name: "max-streams-per-connection", Value: "NUMBER", Default: "1000", Set: cli.To(&l.streams, cli.Small),
			Usage: "how many streams one connection of gRPC may have",
		},
		{
			Name: "max-connections-per-address", Value: "NUMBER", Default: "16384", Set: cli.To(&l.connections, cli.Small),
			Usage: "how many connections to each listener may come from one address, which a\n" +
				"      whole fleet may share",
		},
		{
			Name: "handshake-timeout", Value: "DURATION", Default: "5s", Set: cli.To(&l.handshakeTimeout, cli.Duration),
			Usage: "how long a new connection of gRPC may take to be ready",
		},
		{
			Name: "header-timeout", Value: "DURATION", Default: "10s", Set: cli.To(&l.headerTimeout, cli.Duration),
			Usage: "how long the header of an HTTP request may take to come",
		},
		{
			Name: "max-header-bytes", Value: "BYTES", Default: "64KiB", Set: cli.To(&l.header, cli.SmallBytes),
			Usage: "how long the header of a request may be, of gRPC too",
		},
		{
			Name: "max-query-bytes", Value: "BYTES", Default: "16KiB", Set: cli.To(&l.query, cli.SmallBytes),
			Usage: "how long the query of an HTTP request may be",
		},
	}
}

// options are the limits as a gRPC server takes them.
func (l *limits) options() []grpc.ServerOption {
	return append(access.StreamLimit(uint32(l.streams)),
		grpc.MaxRecvMsgSize(l.message),
		grpc.ConnectionTimeout(l.handshakeTimeout),
		grpc.MaxHeaderListSize(uint32(l.header)),
	)
}
