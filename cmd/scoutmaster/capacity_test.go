package main

import "testing"

func TestCapacity(t *testing.T) {
	for files, want := range map[int]capacity{
		0:         {1, 1},
		64:        {48, 8},
		1024:      {768, 128},
		20_000:    {15_000, 2500},
		1 << 20:   {1<<20 - 2*4096, 4096},
		1<<31 - 1: {1<<31 - 1 - 2*4096, 4096},
	} {
		if got := newCapacity(files); got != want {
			t.Errorf("of %d files: %+v, not %+v", files, got, want)
		}
	}
}
