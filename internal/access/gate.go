package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"scout/internal/files"
)

// Files are those that a scoutmaster takes its credentials from. An empty path
// is a file that is not used.
type Files struct {
	Cert, Key   string // of the scoutmaster, for both its listeners
	ClientCA    string // authorities whose certificates scouts must have
	ScoutTokens string // tokens of which scouts must show one
	HTTPTokens  string // likewise consumers
	Policy      string // who of those may show what
}

// Gate is a scoutmaster's decision whom to let in, by what the files say at the
// time. Any goroutine may ask it.
type Gate struct {
	pair        *credentialFile[*tls.Certificate] // nil: plaintext
	authorities *credentialFile[*x509.CertPool]   // nil: nobody is asked for a certificate
	scoutTokens *credentialFile[*Tokens]          // nil: no scout is asked for a token
	httpTokens  *credentialFile[*Tokens]          // nil: no consumer is
	policy      *credentialFile[*Policy]          // nil: whoever is let in may show anything
	log         *zap.Logger
}

// NewGate reads the files. Until Run runs it does not notice changes.
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

// Run keeps to what the files say, within moments of each change, until ctx is
// done.
func (g *Gate) Run(ctx context.Context) error {
	keepFresh(ctx, g.sources())
	return nil
}

// Reload reads all files again, whether they have changed or not.
func (g *Gate) Reload() {
	for _, s := range g.sources() {
		s.reload()
	}
}

func (g *Gate) sources() (used []reloadable) {
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

// ScoutCredentials is how a gRPC server serves scouts.
func (g *Gate) ScoutCredentials() credentials.TransportCredentials {
	if g.pair == nil {
		return insecure.NewCredentials()
	}
	return newHandshakes(g.ScoutTLS(), g.log)
}

// ScoutTLS is how scouts are served; nil: in plaintext.
func (g *Gate) ScoutTLS() *tls.Config {
	if g.pair == nil {
		return nil
	}
	return scoutTLS(g.pair, g.authorities)
}

// ConsumerTLS is how consumers are served; nil: in plaintext.
func (g *Gate) ConsumerTLS() *tls.Config {
	if g.pair == nil {
		return nil
	}
	return consumerTLS(g.pair)
}

// Identify says who opened the gRPC call of ctx, for people: by its certificate,
// its token, or both, whatever is asked for. It is empty when nothing is. The
// error is a status.
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

// certificate is who the peer is by the certificate that its connection was
// opened with. TLS has verified it.
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

// Authorize is nil when who opened the gRPC call of ctx may show the files of o
// now. The error is a status.
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

// Consumer is nil when the request may be answered.
func (g *Gate) Consumer(r *http.Request) error {
	if g.httpTokens == nil {
		return nil
	}
	_, err := bearer(g.httpTokens.get(), r.Header.Get("Authorization"))
	return err
}
