package main

import (
	"fmt"

	"scout/internal/stream"
)

// host reads a name to list files under. What every scoutmaster refuses is
// refused here, before anything is claimed.
func host(s string) (string, error) {
	if err := stream.CheckHost(s); err != nil {
		return "", fmt.Errorf("%.40q: %w: give another name", s, err)
	}
	return s, nil
}
