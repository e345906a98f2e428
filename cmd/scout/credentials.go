package main

import (
	"fmt"
	"slices"
	"strings"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/netflags"
	"scout/internal/access"
	"scout/internal/hostport"
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

// setMasters parses addresses that are separated by commas.
func (c *config) setMasters(list string) error {
	c.masters = nil
	for s := range strings.SplitSeq(list, ",") {
		master, err := hostport.ParseDial(strings.TrimSpace(s))
		if err != nil {
			return err
		}
		if slices.Contains(c.masters, master) {
			return fmt.Errorf("%s is there twice: give each scoutmaster once", master)
		}
		c.masters = append(c.masters, master)
	}
	return nil
}

// checkMasters checks the flags together: they make sense, and no secret travels
// where others could read it.
func (c *config) checkMasters() error {
	a := c.access
	if err := netflags.CheckCertificate(a.Cert, a.Key); err != nil {
		return err
	}
	for _, master := range c.masters {
		if err := netflags.CheckSecret("token-file", a.Token, master, a.TLS(), "add -tls-ca, or use a tunnel that ends on this machine"); err != nil {
			return err
		}
		if err := netflags.CheckDial("master", master, c.insecure || a.TLS()); err != nil {
			return err
		}
	}
	return nil
}
