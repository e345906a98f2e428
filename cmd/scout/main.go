// Command scout watches a directory and tells a scoutmaster which files exist.
package main

import (
	"context"

	"go.uber.org/zap"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/logging"
	"scout/internal/wake"
)

func main() {
	var c config
	p, reload := c.program(), wake.NewSignal()
	p.Reload = reload.Set
	p.Status = new(logging.Status)
	p.Run = func(ctx context.Context, log *zap.Logger) error { return run(ctx, c, reload, p.Status, log) }
	cli.Main(p)
}
