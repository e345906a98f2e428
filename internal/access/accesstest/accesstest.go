// Package accesstest makes authorities and certificates for tests.
package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	File string // its certificate, in PEM
}

// Pair is the files of a certificate and its key.
type Pair struct{ Cert, Key string }

// NewAuthority makes an authority with its files in a directory of the test's.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &Authority{t: t, key: newKey(t), File: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = a.sign(template, template, a.key)
	write(t, a.File, "CERTIFICATE", a.cert.Raw)
	return a
}

// Issue makes a certificate for a name, which is a common name, a DNS name or
// an IP address of it, good for an hour either way unless changed.
func (a *Authority) Issue(name string, change ...func(*x509.Certificate)) Pair {
	a.t.Helper()
	dir := a.t.TempDir()
	p := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	a.IssueTo(p, name, change...)
	return p
}

// IssueTo is Issue into files, each of which is replaced as a whole.
func (a *Authority) IssueTo(p Pair, name string, change ...func(*x509.Certificate)) {
	a.t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	for _, f := range change {
		f(template)
	}
	key := newKey(a.t)
	cert := a.sign(template, a.cert, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	write(a.t, p.Key, "PRIVATE KEY", der)
	write(a.t, p.Cert, "CERTIFICATE", cert.Raw)
}

// Expired makes a certificate that was good until a minute ago.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(a.t, err)
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	must(a.t, err)
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func write(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	Replace(t, file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Replace writes a file as a whole, for its owner alone.
func Replace(t testing.TB, file string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(file+".new", content, 0o600))
	must(t, os.Rename(file+".new", file))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
