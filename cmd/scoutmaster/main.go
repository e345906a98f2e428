// Command scoutmaster lists the files of all live scouts.
package main

import (
	"context"

	"go.uber.org/zap"

	"scout/cmd/internal/cli"
	"scout/internal/wake"
)

func main() {
	var c config
	p, reload := c.program(), wake.NewSignal()
	p.Reload = reload.Set
	p.Run = func(ctx context.Context, log *zap.Logger) error { return run(ctx, c, reload, log) }
	cli.Main(p)
}
