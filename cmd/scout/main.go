// Command scout watches a directory and tells a scoutmaster which files exist.
package main

import (
	"context"

	"go.uber.org/zap"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/logging"
)

func main() {
	var c config
	p := c.program()
	p.Status = new(logging.Status)
	p.Run = func(ctx context.Context, log *zap.Logger) error { return run(ctx, c, p.Status, log) }
	cli.Main(p)
}
