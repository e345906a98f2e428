package main

import (
	"errors"
	"fmt"

	"scout/cmd/internal/cli"
	"scout/internal/access"
)

// credentialFlags are the flags that fill f.
func credentialFlags(f *access.Files) []cli.Flag {
	return []cli.Flag{
		{
			Name: "tls-cert", Value: "FILE", Set: cli.To(&f.Cert, cli.Path),
			Usage: "the certificate, its chain behind it in PEM, for scouts and consumers;\n" +
				"      this file and those below are read again when they change",
		},
		{
			Name: "tls-key", Value: "FILE", Set: cli.To(&f.Key, cli.Path),
			Usage: "the key of that certificate",
		},
		{
			Name: "tls-client-ca", Value: "FILE", Set: cli.To(&f.ClientCA, cli.Path),
			Usage: "authorities whose certificates scouts must have",
		},
		{
			Name: "scout-token-file", Value: "FILE", Set: cli.To(&f.ScoutTokens, cli.Path),
			Usage: "tokens of which scouts must show one, each on a line as name:secret",
		},
		{
			Name: "http-token-file", Value: "FILE", Set: cli.To(&f.HTTPTokens, cli.Path),
			Usage: "tokens of which consumers must show one, likewise",
		},
		{
			Name: "policy", Value: "FILE", Set: cli.To(&f.Policy, cli.Path),
			Usage: "who may show what, a rule a line, such as token:web hosts=web-* directories=/srv/**",
		},
	}
}

// checkCredentials looks at the flags together: whether they make sense, and
// whether no secret travels where others could read it.
func (c *config) checkCredentials() error {
	f := c.files
	switch {
	case f.Cert != "" && f.Key == "":
		return errors.New("flag -tls-key is missing: give the key that belongs to -tls-cert")
	case f.Key != "" && f.Cert == "":
		return errors.New("flag -tls-cert is missing: give the certificate that -tls-key belongs to")
	case f.ClientCA != "" && f.Cert == "":
		return errors.New("flag -tls-client-ca: scouts are asked for certificates only over TLS: add -tls-cert and -tls-key")
	case f.Policy != "" && f.ClientCA == "" && f.ScoutTokens == "":
		return errors.New("flag -policy: without -tls-client-ca or -scout-token-file scouts have no names that it could be about: add one of them")
	}
	if f.Cert != "" {
		return nil
	}
	if err := checkTokens("scout-token-file", f.ScoutTokens, "grpc", c.grpc); err != nil {
		return err
	}
	return checkTokens("http-token-file", f.HTTPTokens, "http", c.http)
}

// checkTokens refuses tokens over plaintext beyond this machine: whoever reads
// along has them.
func checkTokens(flag, file, listener, address string) error {
	if file == "" || cli.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("flag -%s: tokens would travel to %s unencrypted, which -insecure does not allow either: "+
		"add -tls-cert and -tls-key, or give -%s the port alone to serve this machine only", flag, address, listener)
}
