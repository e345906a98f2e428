//go:build ignore

// Command setcap lets a program have the capability to read every directory, as
// `setcap cap_dac_read_search=p FILE` does: the image that builds the programs has no
// setcap.
package main

import (
	"encoding/binary"
	"log"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	// The capability is permitted, not in effect: see cmd/scout.
	words := []uint32{0x02000000, 1 << unix.CAP_DAC_READ_SEARCH, 0, 0, 0} // revision 2; permitted and inheritable, twice
	var value []byte
	for _, w := range words {
		value = binary.LittleEndian.AppendUint32(value, w)
	}
	if err := unix.Setxattr(os.Args[1], "security.capability", value, 0); err != nil {
		log.Fatal(err)
	}
}
