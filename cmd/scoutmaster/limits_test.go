package main

import "testing"

func TestBytes(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "4096": 4096, "4096B": 4096, "64KiB": 64 << 10, "3MiB": 3 << 20, "2GiB": 2 << 30, "8TiB": 8 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := parseBytes(s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1.5GiB", "1 GiB", "KiB", "1KB", "1kib", "1BB", "0x10", "9223372036854775808", "8388608TiB", "1_000"} {
		if got, err := parseBytes(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

func TestLimit(t *testing.T) {
	if n, err := parseLimit("9223372036854775807"); n != 1<<63-1 || err != nil {
		t.Error(n, err)
	}
	for _, s := range []string{"", "-1", "1e3", "9223372036854775808"} {
		if n, err := parseLimit(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
	l := limits{connections: 1 << 40}
	if got := l.connectionsWithin(7); got.Total != 7 || got.Address != 1<<31-1 {
		t.Errorf("%+v", got)
	}
}

func TestCount(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "1024": 1024, "1000000": 1_000_000} {
		if got, err := parseCount(s); got != want || err != nil {
			t.Errorf("%s: got %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1e3", "1000001", " 1", "many"} {
		if got, err := parseCount(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}
