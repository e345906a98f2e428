package main

import (
	"context"

	"go.uber.org/zap"
)

// run is the scoutmaster, until ctx is cancelled.
func run(ctx context.Context, c config, log *zap.Logger) error {
	log.Info("started", zap.String("grpc", c.grpc), zap.String("http", c.http))
	<-ctx.Done()
	return nil
}
