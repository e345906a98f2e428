package access

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"go.uber.org/zap"
)

// parsePair makes a certificate of the contents of its file and its key's.
func parsePair(certFile, keyFile string) func([][]byte) (*tls.Certificate, error) {
	return func(contents [][]byte) (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w: give a PEM certificate, its chain behind it, and the key that belongs to it", certFile, keyFile, err)
		}
		return &pair, nil
	}
}

// parseAuthorities makes a pool of the certificates in a file.
func parseAuthorities(file string) func([][]byte) (*x509.CertPool, error) {
	return func(contents [][]byte) (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(contents[0]) {
			return nil, fmt.Errorf("%s: there is no certificate in it: give a file of PEM certificates of authorities", file)
		}
		return pool, nil
	}
}

func openPair(log *zap.Logger, certFile, keyFile string) (*source[*tls.Certificate], error) {
	parse := parsePair(certFile, keyFile)
	return open(log, func(contents [][]byte) (*tls.Certificate, error) {
		warnOfReaders(log, keyFile)
		return parse(contents)
	}, certFile, keyFile)
}

func openAuthorities(log *zap.Logger, file string) (*source[*x509.CertPool], error) {
	return open(log, parseAuthorities(file), file)
}

// consumerTLS is how a server shows the pair that is in its files at the time.
func consumerTLS(pair *source[*tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
	}
}

// scoutTLS is consumerTLS for scouts, which are asked for a certificate of one
// of the authorities, if there are any.
func scoutTLS(pair *source[*tls.Certificate], authorities *source[*x509.CertPool]) *tls.Config {
	config := consumerTLS(pair)
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{"h2"}
	if authorities == nil {
		return config
	}
	// Who comes back has to prove itself anew.
	config.SessionTicketsDisabled = true
	config.ClientAuth = tls.RequireAndVerifyClientCert
	base := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientCAs = authorities.get()
		return c, nil
	}
	return config
}

// readPair and readAuthorities read files once.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("%w: name a file that this user may read", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: name a file that this user may read", err)
	}
	return parsePair(certFile, keyFile)([][]byte{cert, key})
}

func readAuthorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: name a file that this user may read", err)
	}
	return parseAuthorities(file)([][]byte{content})
}
