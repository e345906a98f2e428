package access

import (
	"context"
	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// SystemCA in place of a file stands for the authorities that this machine
// trusts.
const SystemCA = "system"

// Credentials are those of a scout, in files. An empty path is a file that is
// not used.
type Credentials struct {
	CA         string // of authorities that the scoutmaster's certificate may be from, or SystemCA
	Cert, Key  string // the scout's own
	ServerName string // the name that the scoutmaster's certificate must be for; empty: the one that is dialed
	Token      string
}

// TLS reports whether the connection is to be encrypted.
func (c Credentials) TLS() bool {
	return c.CA != "" || c.Cert != "" || c.Key != "" || c.ServerName != ""
}

// DialOptions reads the files, so whoever reads them for each attempt needs no
// restart when they change. A token travels in plaintext if the connection
// does: the caller allows that only within this machine.
func (c Credentials) DialOptions() ([]grpc.DialOption, error) {
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if c.Token == "" {
		return options, nil
	}
	secret, err := readToken(c.Token)
	if err != nil {
		return nil, err
	}
	return append(options, grpc.WithPerRPCCredentials(bearerToken{secret, c.TLS()})), nil
}

func (c Credentials) transport() (credentials.TransportCredentials, error) {
	if !c.TLS() {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: c.ServerName}
	if c.CA != "" && c.CA != SystemCA {
		pool, err := readAuthorities(c.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if c.Cert != "" {
		pair, err := readPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		// Whatever authorities the scoutmaster names: that it refuses the
		// certificate says more than that none was sent.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return credentials.NewTLS(config), nil
}

// bearerToken is a token that goes with each call.
type bearerToken struct {
	secret    string
	encrypted bool
}

func (t bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + t.secret}, nil
}

func (t bearerToken) RequireTransportSecurity() bool { return t.encrypted }

// String keeps the secret out of whatever prints a connection's options.
func (t bearerToken) String() string { return "a token" }

// GoString likewise.
func (t bearerToken) GoString() string { return t.String() }
