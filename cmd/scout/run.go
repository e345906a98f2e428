package main

import (
	"context"

	"go.uber.org/zap"
)

// run is the scout, until ctx is cancelled.
func run(ctx context.Context, c config, log *zap.Logger) error {
	log.Info("started", zap.String("directory", c.dir), zap.String("master", c.master))
	<-ctx.Done()
	return nil
}
