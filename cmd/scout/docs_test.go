package main

import (
	"testing"

	"scout/cmd/internal/docs"
)

func TestDocs(t *testing.T) {
	docs.Section(t, "../../docs/configuration.md", "scout flags", docs.Flags(new(config).program()))
}
