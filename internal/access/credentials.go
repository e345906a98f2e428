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

// Credentials are the files of a scout's credentials. An empty path is a file that is
// not used.
type Credentials struct {
	CA         string // authorities that the scout trusts, or SystemCA
	Cert, Key  string // the scout's own
	ServerName string // the name that the scoutmaster's certificate must have; empty: the dialed name
	Token      string
}

// TLS reports whether the connection is to be encrypted.
func (c Credentials) TLS() bool {
	return c.CA != "" || c.Cert != "" || c.Key != "" || c.ServerName != ""
}

// DialOptions reads the files. A caller that calls it for each attempt follows their
// changes. On a plaintext connection the token is sent in plaintext: the caller allows
// that only within this machine.
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
		// The certificate is sent even if the scoutmaster does not name its
		// authority: the refusal then says more than that none was sent.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return credentials.NewTLS(config), nil
}

// bearerToken sends a token with each call.
type bearerToken struct {
	secret    string
	encrypted bool
}

func (t bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + t.secret}, nil
}

func (t bearerToken) RequireTransportSecurity() bool { return t.encrypted }

// String keeps the secret out of printed options of a connection.
func (t bearerToken) String() string { return "a token" }

// GoString likewise.
func (t bearerToken) GoString() string { return t.String() }
