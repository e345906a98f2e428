package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit parses how many of something there may be at most; 0 is any number.
func Limit(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number such as 1000, or 0 for no limit", s)
	}
	return n, nil
}

// Small is Limit for what fits into 31 bits.
func Small(s string) (int, error) {
	n, err := Limit(s)
	if err == nil && n > math.MaxInt32 {
		err = fmt.Errorf("%q is too large: give at most %d, or 0 for no limit", s, math.MaxInt32)
	}
	return int(n), err
}

// units are how many bytes one may be counted in, the longest ending first.
var units = []struct {
	name  string
	bytes uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// Bytes parses a number of bytes such as 4096, 64KiB or 2GiB; 0 is any number.
func Bytes(s string) (uint64, error) {
	digits, factor := s, uint64(1)
	for _, unit := range units {
		if d, ok := strings.CutSuffix(s, unit.name); ok {
			digits, factor = d, unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a number of bytes such as 4096, 64KiB or 2GiB, or 0 for no limit", s)
	}
	return n * factor, nil
}

// SmallBytes is Bytes for what fits into 31 bits and cannot be without limit.
func SmallBytes(s string) (int, error) {
	n, err := Bytes(s)
	if err == nil && (n == 0 || n > math.MaxInt32) {
		err = fmt.Errorf("%q is not from 1 byte to less than 2GiB", s)
	}
	return int(n), err
}
