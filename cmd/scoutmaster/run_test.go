package main

import (
	"context"
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
