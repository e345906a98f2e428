// Package authorities reads files of certificates of authorities. It does not know who
// trusts them.
package authorities

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// Parse returns the certificates in a file of PEM blocks. Every block must be a
// certificate: if one were skipped, the peers of that authority would be rejected
// without a visible cause. Errors name the file and the position of the block.
func Parse(file string, content []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for rest := content; ; {
		var block *pem.Block
		before := begins(rest)
		if block, rest = pem.Decode(rest); block == nil && before == 0 {
			break
		}
		n++
		if block == nil || before-begins(rest) > 1 { // Decode skips damaged blocks
			return nil, wrong(file, fmt.Sprintf("block %d is damaged", n))
		}
		if block.Type != "CERTIFICATE" {
			return nil, wrong(file, fmt.Sprintf("block %d is of type %.40q, not a certificate", n, block.Type))
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrong(file, fmt.Sprintf("block %d is no certificate: %v", n, err))
		}
		pool.AddCert(authority)
	}
	if n == 0 {
		return nil, wrong(file, "there is no certificate in it")
	}
	return pool, nil
}

// begins counts the blocks that begin in the content.
func begins(content []byte) int { return bytes.Count(content, []byte("-----BEGIN")) }

func wrong(file, cause string) error {
	return fmt.Errorf("%s: %s: give a file of PEM certificates of authorities", file, cause)
}
