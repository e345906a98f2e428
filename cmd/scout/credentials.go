package main

import (
	"slices"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/netflags"
	"scout/internal/access"
)

// credentialFlags are the flags that fill c.
func credentialFlags(c *access.Credentials) []cli.Flag {
	return slices.Concat(
		[]cli.Flag{netflags.File("tls-ca", &c.CA, "authorities, in PEM, of which one must have signed the scoutmaster's certificate, or \""+access.SystemCA+
			"\" for those that this machine trusts; this flag or another -tls one turns on TLS, and the files are read again for each connection")},
		netflags.Certificate(&c.Cert, &c.Key, "the certificate of this scout, followed by its chain, in PEM"),
		[]cli.Flag{
			{
				Name: "tls-server-name", Value: "NAME", Set: cli.To(&c.ServerName, text),
				Usage: "the name that the scoutmaster's certificate must be for, if it is not that of -master",
			},
			netflags.File("token-file", &c.Token, "the token that this scout shows, on one line as name:secret or the secret alone"),
		})
}

// checkMaster checks the flags together: they make sense, and no secret travels
// where others could read it.
func (c *config) checkMaster() error {
	a := c.access
	if err := netflags.CheckCertificate(a.Cert, a.Key); err != nil {
		return err
	}
	if err := netflags.CheckSecret("token-file", a.Token, c.master, a.TLS(), "add -tls-ca, or use a tunnel that ends on this machine"); err != nil {
		return err
	}
	return netflags.CheckDial("master", c.master, c.insecure || a.TLS())
}
