package main

import (
	"errors"
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
		[]cli.Flag{netflags.File("tls-ca", &c.CA, "authorities, in PEM, one of which must have signed the scoutmaster's certificate, or \""+access.SystemCA+
			"\" for the authorities that this machine trusts; this flag, like the other -tls flags, turns on TLS; the files are read again for each connection")},
		netflags.Certificate(&c.Cert, &c.Key, "the certificate of this scout, followed by its chain, in PEM"),
		[]cli.Flag{
			{
				Name: "tls-server-name", Value: "NAME", Set: cli.To(&c.ServerName, text),
				Usage: "the name that the scoutmaster's certificate must be for, if it is not that of -master",
			},
			netflags.File("token-file", &c.Token, "the token that this scout shows, on one line as name:secret or the secret alone"),
		})
}

// metricsFlags are the flags for the credentials of the -metrics listener.
func metricsFlags(f *access.Files) []cli.Flag {
	return []cli.Flag{
		netflags.File("metrics-tls-cert", &f.Cert, "serve -metrics over TLS with this certificate, followed by its chain, in PEM; this file and those below are read again when they change"),
		netflags.File("metrics-tls-key", &f.Key, "the key of that certificate, in PEM and not encrypted"),
		netflags.File("metrics-token-file", &f.HTTPTokens, "the tokens that may read /metrics, one a line as name:secret"),
	}
}

// checkMetrics checks the flags of the -metrics listener together.
func (c *config) checkMetrics() error {
	f := c.metricsFiles
	switch {
	case f.Cert != "" && f.Key == "":
		return errors.New("flag -metrics-tls-key is missing: give the key that belongs to -metrics-tls-cert")
	case f.Key != "" && f.Cert == "":
		return errors.New("flag -metrics-tls-cert is missing: give the certificate that -metrics-tls-key belongs to")
	case f != (access.Files{}) && c.metrics == "":
		return errors.New("flag -metrics is missing: give the address that the other -metrics flags are about")
	case c.metrics == "":
		return nil
	}
	if err := netflags.CheckSecret("metrics-token-file", f.HTTPTokens, c.metrics, f.Cert != "",
		"add -metrics-tls-cert and -metrics-tls-key, or give -metrics the port alone to serve this machine only"); err != nil {
		return err
	}
	return netflags.CheckListen("metrics", c.metrics, c.insecure || f.Cert != "", "-metrics-tls-cert and -metrics-tls-key")
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
