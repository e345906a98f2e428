package main

import (
	"errors"

	"scout/cmd/internal/cli"
	"scout/internal/access"
)

// credentialFlags are the flags that fill c.
func credentialFlags(c *access.Credentials) []cli.Flag {
	return []cli.Flag{
		{
			Name: "tls-ca", Value: "FILE", Set: cli.To(&c.CA, cli.Path),
			Usage: "authorities of which one must have signed the scoutmaster's certificate, or\n" +
				"      \"" + access.SystemCA + "\" for those that this machine trusts; this flag or another -tls one turns TLS on,\n" +
				"      and the files are read again for each connection",
		},
		{
			Name: "tls-cert", Value: "FILE", Set: cli.To(&c.Cert, cli.Path),
			Usage: "the certificate of this scout, its chain behind it in PEM",
		},
		{
			Name: "tls-key", Value: "FILE", Set: cli.To(&c.Key, cli.Path),
			Usage: "the key of that certificate",
		},
		{
			Name: "tls-server-name", Value: "NAME", Set: cli.To(&c.ServerName, cli.Text),
			Usage: "the name that the scoutmaster's certificate must be for, when it is not that of -master",
		},
		{
			Name: "token-file", Value: "FILE", Set: cli.To(&c.Token, cli.Path),
			Usage: "the token to show, on one line as name:secret or the secret alone",
		},
	}
}

// checkMaster looks at the flags together: whether they make sense, and whether
// no secret travels where others could read it.
func (c *config) checkMaster() error {
	switch a := c.access; {
	case a.Cert != "" && a.Key == "":
		return errors.New("flag -tls-key is missing: give the key that belongs to -tls-cert")
	case a.Key != "" && a.Cert == "":
		return errors.New("flag -tls-cert is missing: give the certificate that -tls-key belongs to")
	case a.Token != "" && !a.TLS() && !cli.IsLoopback(c.master):
		return errors.New("flag -token-file: the token would travel to " + c.master + " unencrypted, which -insecure does not allow either: " +
			"add -tls-ca, or use a tunnel that ends on this machine")
	}
	return cli.CheckDial("master", c.master, c.insecure || c.access.TLS())
}
