package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// A scoutmaster that is told to stop in the moment of its start stops without an
// error, whatever of it has begun by then.
func TestStopAtTheStart(t *testing.T) {
	var c config
	if err := c.program().Parse([]string{"-grpc", "0", "-http", "0"}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := run(ctx, c, nil, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
	}
}

// Names are checked where nothing else protects the list: on loopback without
// tokens.
func TestHostCheck(t *testing.T) {
	for _, tc := range []struct {
		args, listener, host string
		want                 bool
	}{
		{"", "127.0.0.1:3001", "localhost:3001", true},
		{"", "127.0.0.1:3001", "rebind.example:3001", false},
		{"", "[::1]:3001", "rebind.example:3001", false},
		{"-http-host a.example -http-host rebind.example", "127.0.0.1:3001", "rebind.example:3001", true},
		{"-http-token-file tokens", "127.0.0.1:3001", "rebind.example:3001", true},
		{"-http :3001 -insecure", "0.0.0.0:3001", "scoutmaster.example:3001", true},
	} {
		var p parts
		if err := p.config.program().Parse(strings.Fields(tc.args)); err != nil {
			t.Fatal(err)
		}
		address, err := net.ResolveTCPAddr("tcp", tc.listener)
		if err != nil {
			t.Fatal(err)
		}
		answers := p.hostCheck(address)
		if got := answers == nil || answers(tc.host); got != tc.want {
			t.Errorf("%s on %s answers to %s: %t", tc.args, tc.listener, tc.host, got)
		}
	}
}
