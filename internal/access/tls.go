package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"scout/internal/authorities"
)

// parsePair returns a function that parses the contents of a certificate's file and
// of its key's file.
func parsePair(certFile, keyFile string) func([][]byte) (*tls.Certificate, error) {
	return func(contents [][]byte) (*tls.Certificate, error) {
		if isEncrypted(contents[1]) {
			return nil, fmt.Errorf("key %s: it is encrypted, and there is no way to give its passphrase: decrypt it with openssl pkey -in OLD -out NEW", keyFile)
		}
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w: give a PEM certificate, its chain behind it, and the key that belongs to it", certFile, keyFile, err)
		}
		return &pair, nil
	}
}

// isEncrypted reports whether a file has an encrypted key.
func isEncrypted(content []byte) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// parseAuthorities returns a function that parses a file of certificates.
func parseAuthorities(file string) func([][]byte) (*x509.CertPool, error) {
	return func(contents [][]byte) (*x509.CertPool, error) { return authorities.Parse(file, contents[0]) }
}

func openPair(log *zap.Logger, certFile, keyFile string) (*credentialFile[*tls.Certificate], error) {
	parse := parsePair(certFile, keyFile)
	return openFile(log, func(contents [][]byte) (*tls.Certificate, error) {
		warnOfReaders(log, keyFile)
		pair, err := parse(contents)
		if err == nil {
			warnOfExpiry(log, certFile, pair.Leaf)
		}
		return pair, err
	}, certFile, keyFile)
}

// warnOfExpiry warns of an expired certificate. It stays in use, because the clock of
// this machine may be wrong.
func warnOfExpiry(log *zap.Logger, file string, c *x509.Certificate) {
	if time.Now().After(c.NotAfter) {
		log.Warn("certificate expired", zap.String("file", file), zap.Time("expired", c.NotAfter),
			zap.String("cure", "renew it, or set the clock of this machine"))
	}
}

func openAuthorities(log *zap.Logger, file string) (*credentialFile[*x509.CertPool], error) {
	return openFile(log, parseAuthorities(file), file)
}

// consumerTLS returns a configuration that uses the current pair.
func consumerTLS(pair *credentialFile[*tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
	}
}

// scoutTLS is consumerTLS for scouts. With authorities it requires a certificate that
// one of them has signed.
func scoutTLS(pair *credentialFile[*tls.Certificate], clientCA *credentialFile[*x509.CertPool]) *tls.Config {
	config := consumerTLS(pair)
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{"h2"}
	if clientCA == nil {
		return config
	}
	// A resumed session would skip the check of the certificate.
	config.SessionTicketsDisabled = true
	config.ClientAuth = tls.RequireAndVerifyClientCert
	base := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientCAs = clientCA.get()
		return c, nil
	}
	return config
}

// readPair reads a certificate and its key once.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	return parsePair(certFile, keyFile)([][]byte{cert, key})
}

// readAuthorities reads a file of authorities once.
func readAuthorities(file string) (*x509.CertPool, error) {
	content, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return parseAuthorities(file)([][]byte{content})
}
