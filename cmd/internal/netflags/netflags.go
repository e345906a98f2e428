// Package netflags has the flags of both programs that concern the network, and
// the rules that these flags follow: who may reach a listener, when TLS is
// required, and where secrets may travel. It serves and dials nothing.
package netflags

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"scout/cmd/internal/cli"
	"scout/internal/hostport"
)

// Listen opens the address of a flag.
func Listen(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("flag -%s: %s is in use by another program: stop that one or choose another port", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("flag -%s: %w: choose an address of this machine that may be listened on", flag, err)
	}
	return l, nil
}

// Insecure is the flag that allows plaintext beyond this machine.
func Insecure(allowed *bool, usage string) cli.Flag {
	return cli.Flag{Name: "insecure", Default: "false", Set: cli.To(allowed, cli.OnOff), Usage: usage}
}

// Profiles is the flag for the address of Go's profiles.
func Profiles(address *string) cli.Flag {
	return cli.Flag{
		Name: "pprof", Value: "ADDRESS", Set: cli.To(address, hostport.ParseListen),
		Usage: "serve Go's profiles at /debug/pprof/ on this port, to this machine only; off unless given",
	}
}

// CheckProfiles refuses to serve profiles to other machines: they show the
// contents of memory.
func CheckProfiles(address string) error {
	if address == "" || hostport.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("flag -pprof: %s can be reached from other machines, and profiles show what is in memory: give the port alone", address)
}

// CheckListen refuses a listener that other machines can reach unless that is
// allowed, by TLS or by -insecure. The error says what to do; tlsFlags are the
// flags that turn on TLS for this listener, if there are any.
func CheckListen(flag, address string, allowed bool, tlsFlags string) error {
	if allowed || hostport.IsLoopback(address) {
		return nil
	}
	if tlsFlags != "" {
		tlsFlags = "add " + tlsFlags + ", "
	}
	return errors.New("flag -" + flag + ": " + address + " can be reached from other machines and is not encrypted: " +
		"give the port alone to serve this machine only, " + tlsFlags + "or add -insecure if you trust the network")
}

// CheckDial refuses a connection to another machine unless that is allowed, by
// TLS or by -insecure.
func CheckDial(flag, address string, allowed bool) error {
	if allowed || hostport.IsLoopback(address) {
		return nil
	}
	return errors.New("flag -" + flag + ": " + address + " is beyond this machine and the connection is not encrypted: " +
		"add -tls-ca, use a tunnel that ends on this machine, or add -insecure if you trust the network")
}

// Certificate are the flags for a program's own certificate and its key.
func Certificate(cert, key *string, usage string) []cli.Flag {
	return []cli.Flag{
		File("tls-cert", cert, usage),
		File("tls-key", key, "the key of that certificate, in PEM and not encrypted"),
	}
}

// File is a flag for the name of a file.
func File(name string, path *string, usage string) cli.Flag {
	return cli.Flag{Name: name, Value: "FILE", Set: func(s string) error { *path = s; return nil }, Usage: usage}
}

// CheckCertificate refuses a certificate without a key, and a key without a
// certificate.
func CheckCertificate(cert, key string) error {
	switch {
	case cert != "" && key == "":
		return errors.New("flag -tls-key is missing: give the key that belongs to -tls-cert")
	case key != "" && cert == "":
		return errors.New("flag -tls-cert is missing: give the certificate that -tls-key belongs to")
	}
	return nil
}

// CheckSecret refuses to send a token in plaintext beyond this machine. cure
// says how to avoid that.
func CheckSecret(flag, file, address string, encrypted bool, cure string) error {
	if file == "" || encrypted || hostport.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("flag -%s: tokens would travel to %s unencrypted, which -insecure does not allow either: %s", flag, address, cure)
}
