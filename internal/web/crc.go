package web

import "hash/crc32"

// combineCRC returns the CRC-32 of a text followed by one of size bytes, given
// that of each. A CRC is a remainder of polynomials over GF(2): to append n
// zero bytes to the first text is to multiply its remainder by x^(8n), which
// takes as many squarings as n has bits; then the remainders are added. The
// conditioning of the CRC with all ones cancels out.
func combineCRC(first, second uint32, size int64) uint32 {
	power := uint32(1) << 23 // x^8: the highest bit is x^0
	for n := size; n > 0; n >>= 1 {
		if n&1 != 0 {
			first = multiplyCRC(first, power)
		}
		power = multiplyCRC(power, power)
	}
	return first ^ second
}

// multiplyCRC multiplies two polynomials modulo that of CRC-32.
func multiplyCRC(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}
