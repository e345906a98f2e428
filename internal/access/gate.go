package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"scout/internal/files"
)

// Files are a scoutmaster's files of credentials. An empty path is a file that is
// not used.
type Files struct {
	Cert, Key   string // of the scoutmaster, for both listeners
	ClientCA    string // authorities that must have signed the certificates of scouts
	ScoutTokens string // tokens for scouts
	HTTPTokens  string // tokens for consumers
	Policy      string // hosts and directories of each scout
}

// Gate decides which peers a scoutmaster admits. It follows changes of the files. It
// is safe for concurrent use.
type Gate struct {
	pair        *credentialFile[*tls.Certificate] // nil: plaintext
	authorities *credentialFile[*x509.CertPool]   // nil: scouts need no certificate
	scoutTokens *credentialFile[*tokenSet]        // nil: scouts need no token
	httpTokens  *credentialFile[*tokenSet]        // nil: consumers need no token
	policy      *credentialFile[*policy]          // nil: scouts may register anything
	log         *zap.Logger
}

// NewGate reads the files. Run follows their changes.
func NewGate(f Files, log *zap.Logger) (*Gate, error) {
	g := &Gate{log: log}
	for _, load := range []struct {
		needed bool
		file   func() error
	}{
		{f.Cert != "", func() (err error) { g.pair, err = openPair(log, f.Cert, f.Key); return err }},
		{f.ClientCA != "", func() (err error) { g.authorities, err = openAuthorities(log, f.ClientCA); return err }},
		{f.ScoutTokens != "", func() (err error) { g.scoutTokens, err = openTokens(log, f.ScoutTokens); return err }},
		{f.HTTPTokens != "", func() (err error) { g.httpTokens, err = openTokens(log, f.HTTPTokens); return err }},
		{f.Policy != "", func() (err error) { g.policy, err = openPolicy(log, f.Policy); return err }},
	} {
		if !load.needed {
			continue
		}
		if err := load.file(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Run reads files again when they have changed, within about checkInterval, until ctx
// is done.
func (g *Gate) Run(ctx context.Context) error {
	keepFresh(ctx, g.files())
	return nil
}

// Reload reads all files again, whether they have changed or not.
func (g *Gate) Reload() {
	for _, f := range g.files() {
		f.reload()
	}
}

func (g *Gate) files() (used []reloadable) {
	if g.pair != nil {
		used = append(used, g.pair)
	}
	if g.authorities != nil {
		used = append(used, g.authorities)
	}
	if g.scoutTokens != nil {
		used = append(used, g.scoutTokens)
	}
	if g.httpTokens != nil {
		used = append(used, g.httpTokens)
	}
	if g.policy != nil {
		used = append(used, g.policy)
	}
	return used
}

// ScoutCredentials returns the credentials of the gRPC server for scouts.
func (g *Gate) ScoutCredentials() credentials.TransportCredentials {
	if g.pair == nil {
		return insecure.NewCredentials()
	}
	return newHandshakes(g.ScoutTLS(), g.log)
}

// ScoutTLS returns the TLS configuration for scouts, or nil for plaintext.
func (g *Gate) ScoutTLS() *tls.Config {
	if g.pair == nil {
		return nil
	}
	return scoutTLS(g.pair, g.authorities)
}

// ConsumerTLS returns the TLS configuration for consumers, or nil for plaintext.
func (g *Gate) ConsumerTLS() *tls.Config {
	if g.pair == nil {
		return nil
	}
	return consumerTLS(g.pair)
}

// Identify returns the names in the certificate and the token of the caller of a gRPC
// method, as far as the scoutmaster asks for them, for the log. The error is a status.
func (g *Gate) Identify(ctx context.Context) (string, error) {
	id, err := g.identify(ctx)
	return id.String(), err
}

func (g *Gate) identify(ctx context.Context) (id identity, err error) {
	if g.authorities != nil {
		id = certificate(ctx)
	}
	if g.scoutTokens == nil {
		return id, nil
	}
	var header string
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) == 1 {
		header = values[0]
	}
	name, err := bearer(g.scoutTokens.get(), header)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "%v: give the scout one of the scoutmaster's -scout-token-file with -token-file", err)
	}
	return append(id, "token:"+name), nil
}

// certificate returns the names in the certificate of the peer, which TLS has
// verified.
func certificate(ctx context.Context) identity {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return certificateNames(info.State.VerifiedChains[0][0])
}

// Authorize returns an error, which is a status, unless the caller of a gRPC method
// may register o now.
func (g *Gate) Authorize(ctx context.Context, o files.Origin) error {
	id, err := g.identify(ctx)
	if err != nil {
		return err
	}
	if g.policy == nil || g.policy.get().permits(id, o) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "%s may not show directory %q of host %q: permit it in the scoutmaster's -policy, or give the scout its own -host",
		id, o.Directory, o.Host)
}

// Consumer returns an error unless the request has a valid token, or none is needed.
func (g *Gate) Consumer(r *http.Request) error {
	if g.httpTokens == nil {
		return nil
	}
	_, err := bearer(g.httpTokens.get(), r.Header.Get("Authorization"))
	return err
}

// identity is the names in the credentials of a peer, such as "cert:web-01.example"
// and "token:web". It is empty if the scoutmaster asks for no credentials.
type identity []string

func (id identity) String() string { return strings.Join(id, ", ") }

// certificateNames returns the names in a certificate: the common name and the
// alternative names.
func certificateNames(c *x509.Certificate) (id identity) {
	add := func(name string) {
		if name != "" && !slices.Contains(id, "cert:"+name) {
			id = append(id, "cert:"+name)
		}
	}
	add(c.Subject.CommonName)
	for _, name := range c.DNSNames {
		add(name)
	}
	for _, ip := range c.IPAddresses {
		add(ip.String())
	}
	for _, uri := range c.URIs {
		add(uri.String())
	}
	for _, address := range c.EmailAddresses {
		add(address)
	}
	return id
}
