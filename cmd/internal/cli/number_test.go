package cli

import "testing"

func TestBytes(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "4096": 4096, "4096B": 4096, "64KiB": 64 << 10, "3MiB": 3 << 20, "2GiB": 2 << 30, "8TiB": 8 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := Bytes(s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1.5GiB", "1 GiB", "KiB", "1KB", "1kib", "1BB", "0x10", "9223372036854775808", "8388608TiB", "1_000"} {
		if got, err := Bytes(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

func TestCounts(t *testing.T) {
	if n, err := Limit("9223372036854775807"); n != 1<<63-1 || err != nil {
		t.Error(n, err)
	}
	if n, err := Small("2147483647"); n != 1<<31-1 || err != nil {
		t.Error(n, err)
	}
	if n, err := SmallBytes("1GiB"); n != 1<<30 || err != nil {
		t.Error(n, err)
	}
	for _, s := range []string{"-1", "1e3", "2147483648"} {
		if n, err := Small(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
	for _, s := range []string{"0", "2GiB"} {
		if n, err := SmallBytes(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
}
