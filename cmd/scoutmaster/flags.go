package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/debughttp"
	"scout/cmd/internal/netflags"
	"scout/internal/access"
	"scout/internal/hostport"
	"scout/internal/stream"
)

// config is the configuration of a scoutmaster.
type config struct {
	grpc, http string        // host:port; port 0 is any that is free
	httpHosts  []string      // further names under which an open listener on loopback answers
	heartbeat  time.Duration // how often a scout must be heard
	deadline   time.Duration // silence after which a scout is dropped; above heartbeat
	watchers   int           // consumers that may watch the list at once
	insecure   bool          // listeners beyond loopback are allowed without TLS
	pprof      string        // host:port of loopback; empty: not served
	reflection bool          // gRPC clients may ask for the services
	files      access.Files
	limits     limits
	sharing
}

// program describes the scoutmaster; its flags fill c.
func (c *config) program() cli.Program {
	return cli.Program{
		Name:    "scoutmaster",
		Summary: "lists the files that exist right now on all machines with a scout",
		Description: `
Scouts connect over gRPC, each with the files of one directory. The scoutmaster
merges the files of all live scouts into one sorted list. It drops a scout's
files as soon as the scout leaves, loses its connection or falls silent. It serves
the list at GET /files, and its own health at /healthz and /readyz and over gRPC
as grpc.health.v1.

Without flags it serves this machine only, alone. With -nats several scoutmasters
share one list: each of them answers for all scouts, and the scouts of one that
stops or dies go to another.`,
		Examples: []struct{ Command, Meaning string }{
			{Command: "scoutmaster", Meaning: "serve scouts on port 3000 and consumers on port 3001 of this machine"},
			{Command: "curl -s localhost:3001/files | jq -r '.files[].filename'", Meaning: "ask which files exist"},
			{Command: "scoutmaster -grpc :3000 -http :3001 -insecure", Meaning: "serve other machines too, on a network that you trust"},
			{Command: "scoutmaster -grpc :3000 -http :3001 -tls-cert cert.pem -tls-key key.pem -scout-token-file scouts -http-token-file readers", Meaning: "serve scouts and consumers that have a token, over TLS"},
			{Command: "scoutmaster -nats tls://n1.example,tls://n2.example,tls://n3.example -nats-creds scout.creds", Meaning: "share the list with other scoutmasters, over NATS"},
			{Command: "SCOUTMASTER_DEADLINE=10s scoutmaster -heartbeat 2s", Meaning: "be patient with a slow link"},
		},
		EnvPrefix: "SCOUTMASTER_",
		Flags: slices.Concat([]cli.Flag{
			{
				Name: "grpc", Value: "ADDRESS", Default: "3000", Set: cli.To(&c.grpc, hostport.ParseListen),
				Usage: "where scouts connect: a port (this machine only) or host:port (:3000 is every interface)",
			},
			{
				Name: "http", Value: "ADDRESS", Default: "3001", Set: cli.To(&c.http, hostport.ParseListen),
				Usage: "where consumers read: a port or host:port, likewise",
			},
			{
				Name: "http-host", Value: "NAME", Split: splitNames, Set: c.addHost,
				Usage: "a further host name that -http accepts if it is on loopback and needs no token; the names of loopback and of this machine are always accepted; in the environment separated by commas",
			},
			{
				Name: "heartbeat", Value: "DURATION", Default: "1s", Set: cli.To(&c.heartbeat, cli.Duration),
				Usage: "how often a scout must be heard; the scoutmaster tells its scouts",
			},
			{
				Name: "deadline", Value: "DURATION", Default: "3s", Set: cli.To(&c.deadline, cli.Duration),
				Usage: "silence after which a scout's files are dropped; greater than the heartbeat",
			},
			{
				Name: "watchers", Value: "NUMBER", Default: "1024", Set: cli.To(&c.watchers, parseCount),
				Usage: "how many consumers may watch the list, or wait for it to change, at once",
			},
			netflags.Insecure(&c.insecure, "allow listeners that other machines can reach, without encryption"),
			netflags.Profiles(&c.pprof),
			{
				Name: "reflection", Default: "false", Set: cli.To(&c.reflection, cli.OnOff),
				Usage: "let gRPC clients such as grpcurl ask for the services and their methods",
			},
		}, c.sharing.flags(), credentialFlags(&c.files), c.limits.flags()),
		Check: c.check,
		Probe: func(ctx context.Context) error { return debughttp.Probe(ctx, "http", c.http, c.files.Cert != "") },
	}
}

// check looks at the flags together.
func (c *config) check() error {
	if c.heartbeat < stream.MinHeartbeat {
		return fmt.Errorf("flag -heartbeat: %s is less than %s, which no scout accepts: raise it", c.heartbeat, stream.MinHeartbeat)
	}
	if c.deadline > stream.MaxDeadline {
		return fmt.Errorf("flag -deadline: %s is more than %s, which no scout accepts: lower it", c.deadline, stream.MaxDeadline)
	}
	if c.deadline <= c.heartbeat {
		return fmt.Errorf("flag -deadline: %s is not greater than the heartbeat of %s: raise -deadline or lower -heartbeat", c.deadline, c.heartbeat)
	}
	if c.grpc == c.http && !strings.HasSuffix(c.grpc, ":0") {
		return fmt.Errorf("flag -http: %s is the address of -grpc too: give one of them another port", c.http)
	}
	if err := c.checkCredentials(); err != nil {
		return err
	}
	if err := c.checkSharing(); err != nil {
		return err
	}
	if err := netflags.CheckProfiles(c.pprof); err != nil {
		return err
	}
	allowed := c.files.Cert != "" || c.insecure
	if err := netflags.CheckListen("grpc", c.grpc, allowed, "-tls-cert and -tls-key"); err != nil {
		return err
	}
	return netflags.CheckListen("http", c.http, allowed, "-tls-cert and -tls-key")
}

// addHost is the Set of the flag -http-host.
func (c *config) addHost(name string) error {
	if _, err := hostport.ParseListen(net.JoinHostPort(name, "0")); name == "" || err != nil {
		return fmt.Errorf("%q is not a host name: give it without a scheme and a port", name)
	}
	c.httpHosts = append(c.httpHosts, name)
	return nil
}

// splitNames splits a list of names. It omits empty ones.
func splitNames(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
