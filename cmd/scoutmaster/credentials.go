package main

import (
	"errors"
	"slices"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/netflags"
	"scout/internal/access"
)

// credentialFlags are the flags that fill f.
func credentialFlags(f *access.Files) []cli.Flag {
	return slices.Concat(
		netflags.Certificate(&f.Cert, &f.Key, "the certificate for scouts and consumers, followed by its chain, in PEM; this file and those below are read again when they change"),
		[]cli.Flag{
			netflags.File("tls-client-ca", &f.ClientCA, "authorities, in PEM; each scout must have a certificate that one of them has signed"),
			netflags.File("scout-token-file", &f.ScoutTokens, "the tokens of scouts, one a line as name:secret; each scout must show one"),
			netflags.File("http-token-file", &f.HTTPTokens, "the tokens of consumers, one a line as name:secret; each consumer must show one"),
			netflags.File("policy", &f.Policy, "which scout may show what, one rule a line, such as token:web hosts=web-* directories=/srv/**"),
		})
}

// checkCredentials checks the flags together: they make sense, and no secret
// travels where others could read it.
func (c *config) checkCredentials() error {
	f := c.files
	if err := netflags.CheckCertificate(f.Cert, f.Key); err != nil {
		return err
	}
	switch {
	case f.ClientCA != "" && f.Cert == "":
		return errors.New("flag -tls-client-ca: scouts are asked for certificates only over TLS: add -tls-cert and -tls-key")
	case f.Policy != "" && f.ClientCA == "" && f.ScoutTokens == "":
		return errors.New("flag -policy: without -tls-client-ca or -scout-token-file scouts have no names that it could be about: add one of them")
	}
	if err := checkTokens("scout-token-file", f.ScoutTokens, "grpc", c.grpc, f.Cert != ""); err != nil {
		return err
	}
	return checkTokens("http-token-file", f.HTTPTokens, "http", c.http, f.Cert != "")
}

func checkTokens(flag, file, listener, address string, encrypted bool) error {
	return netflags.CheckSecret(flag, file, address, encrypted,
		"add -tls-cert and -tls-key, or give -"+listener+" the port alone to serve this machine only")
}
