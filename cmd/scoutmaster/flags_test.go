package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"scout/internal/access"
	"scout/internal/stream"
)

func TestFlags(t *testing.T) {
	limits := limits{
		held: stream.Limits{
			Scouts: 20_000, FilesPerScout: 20_000_000, Files: 100_000_000, NameBytesPerScout: 2 << 30, NameBytes: 8 << 30,
		},
		connections: 16384,
	}
	standard := config{
		grpc: "127.0.0.1:3000", http: "127.0.0.1:3001", heartbeat: time.Second, deadline: 3 * time.Second, watchers: 1024, limits: limits,
		sharing: sharing{fleet: "scout", cutOff: 15 * time.Second, logBytes: 1 << 30},
	}
	with := func(change func(*config)) config { c := standard; change(&c); return c }
	tests := []struct {
		args string
		env  map[string]string
		want config
	}{
		{want: standard},
		{args: "-grpc 4000 --http=0", want: with(func(c *config) { c.grpc, c.http = "127.0.0.1:4000", "127.0.0.1:0" })},
		{args: "-grpc 0 -http 0", want: with(func(c *config) { c.grpc, c.http = "127.0.0.1:0", "127.0.0.1:0" })},
		{args: "-pprof 6060 -reflection", want: with(func(c *config) { c.pprof, c.reflection = "127.0.0.1:6060", true })},
		{args: "-grpc :3000 -http :3001 -tls-cert c -tls-key k -tls-client-ca a -scout-token-file s -http-token-file h -policy p", want: with(func(c *config) {
			c.grpc, c.http = ":3000", ":3001"
			c.files = access.Files{Cert: "c", Key: "k", ClientCA: "a", ScoutTokens: "s", HTTPTokens: "h", Policy: "p"}
		})},
		{args: "-max-scouts 0 -max-name-bytes 1TiB -max-connections-per-address 100", want: with(func(c *config) {
			c.limits.held.Scouts, c.limits.held.NameBytes, c.limits.connections = 0, 1<<40, 100
		})},
		{args: "-http-host a.example --http-host=b", want: with(func(c *config) { c.httpHosts = []string{"a.example", "b"} })},
		{args: "-nats nats://a:secret@localhost:4222,127.0.0.1 -fleet Web-1_a -name front -advertise https://front.example/ -cut-off 4s -log-bytes 64MiB -replicas 3 -nats-creds c", want: with(func(c *config) {
			c.sharing = sharing{
				nats: []string{"nats://a:secret@localhost:4222", "nats://127.0.0.1"}, fleet: "Web-1_a", name: "front", advertise: "https://front.example",
				cutOff: 4 * time.Second, logBytes: 64 << 20, replicas: 3, creds: "c",
			}
		})},
		{args: "-nats tls://n1.example:4222,wss://n2.example -replicas auto", want: with(func(c *config) {
			c.nats = []string{"tls://n1.example:4222", "wss://n2.example"}
		})},
		{args: "-nats n1.example -nats-ca a -nats-cert c -nats-key k", want: with(func(c *config) {
			c.nats, c.ca, c.cert, c.key = []string{"nats://n1.example"}, "a", "c", "k"
		})},
		{args: "-nats n1.example -insecure", want: with(func(c *config) { c.nats, c.insecure = []string{"nats://n1.example"}, true })},
		{args: "-grpc :3000 -insecure", want: with(func(c *config) { c.grpc, c.insecure = ":3000", true })},
		{
			env: map[string]string{
				"SCOUTMASTER_GRPC": "10.0.0.1:1", "SCOUTMASTER_HTTP": "[::]:2", "SCOUTMASTER_HEARTBEAT": "2s",
				"SCOUTMASTER_DEADLINE": "2001ms", "SCOUTMASTER_INSECURE": "true", "SCOUTMASTER_WATCHERS": "0",
			},
			want: with(func(c *config) {
				c.grpc, c.http, c.heartbeat, c.deadline, c.insecure = "10.0.0.1:1", "[::]:2", 2*time.Second, 2001*time.Millisecond, true
				c.watchers = 0
			}),
		},
	}
	for _, test := range tests {
		for key, value := range test.env {
			t.Setenv(key, value)
		}
		var c config
		if err := c.program().Parse(strings.Fields(test.args)); err != nil || !reflect.DeepEqual(c, test.want) {
			t.Errorf("%q, %v: got %+v, %v", test.args, test.env, c, err)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-pprof :6060 -insecure":       "flag -pprof: :6060 can be reached from other machines, and profiles show what is in memory: give the port alone",
		"-grpc 70000":                  `flag -grpc: "70000" is not a port (0-65535) or host:port`,
		"-deadline 1s":                 "flag -deadline: 1s is not greater than the heartbeat of 1s: raise -deadline or lower -heartbeat",
		"-heartbeat 9ms":               "flag -heartbeat: 9ms is less than 10ms, which no scout accepts: raise it",
		"-deadline 25h":                "flag -deadline: 25h0m0s is more than 24h0m0s, which no scout accepts: lower it",
		"-heartbeat 0":                 `flag -heartbeat: "0" is too short: give at least 1ms`,
		"-grpc 3001":                   "flag -http: 127.0.0.1:3001 is the address of -grpc too: give one of them another port",
		"-http :3001":                  "flag -http: :3001 can be reached from other machines and is not encrypted: give the port alone to serve this machine only, add -tls-cert and -tls-key, or add -insecure if you trust the network",
		"-grpc web:1 -insecure=false":  "flag -grpc: web:1 can be reached from other machines and is not encrypted: give the port alone to serve this machine only, add -tls-cert and -tls-key, or add -insecure if you trust the network",
		"-tls-cert c":                  "flag -tls-key is missing: give the key that belongs to -tls-cert",
		"-tls-key k":                   "flag -tls-cert is missing: give the certificate that -tls-key belongs to",
		"-tls-client-ca a":             "flag -tls-client-ca: scouts are asked for certificates only over TLS: add -tls-cert and -tls-key",
		"-policy p -http-token-file h": "flag -policy: without -tls-client-ca or -scout-token-file scouts have no names that it could be about: add one of them",
		"-grpc :1 -insecure -scout-token-file s": "flag -scout-token-file: tokens would travel to :1 unencrypted, which -insecure does not allow either: " +
			"add -tls-cert and -tls-key, or give -grpc the port alone to serve this machine only",
		"-http :1 -insecure -http-token-file h": "flag -http-token-file: tokens would travel to :1 unencrypted, which -insecure does not allow either: " +
			"add -tls-cert and -tls-key, or give -http the port alone to serve this machine only",
		"-nats http://n1.example": `flag -nats: "http://n1.example" is not the URL of a NATS server such as nats://10.0.0.1:4222`,
		"-nats nats://a:b@":       `flag -nats: "...@" is not the URL of a NATS server such as nats://10.0.0.1:4222`,
		"-nats ,":                 `flag -nats: "," names no NATS server`,
		"-nats nats://a:secret@n1.example -insecure": "flag -nats: the user and password of nats://a:xxxxx@n1.example would travel unencrypted, which -insecure does not allow either: give a URL that begins with tls://, or add -nats-ca",
		"-nats nats://n1.example":                    "flag -nats: nats://n1.example is beyond this machine and the connection is not encrypted: give a URL that begins with tls://, add -nats-ca, or add -insecure if you trust the network",
		"-nats localhost -fleet a.b":                 `flag -fleet: "a.b" is not the name of a fleet: give up to 64 letters, digits, - and _`,
		"-nats localhost -cut-off 3s":                "flag -cut-off: 3s is not greater than the deadline of 3s: raise -cut-off or lower -deadline",
		"-nats localhost -log-bytes 1GB":             `flag -log-bytes: "1GB" is not a number of bytes such as 64MiB or 2GiB`,
		"-nats localhost -log-bytes 1000":            `flag -log-bytes: "1000" is too small: give at least 1MiB`,
		"-nats localhost -replicas 0":                `flag -replicas: "0" is neither auto nor a number from 1 to 5`,
		"-nats localhost -advertise list:3001":       `flag -advertise: "list:3001" is not a URL such as https://list.example:3001`,
		"-nats localhost -nats-cert c":               "flag -nats-key is missing: give the key that belongs to -nats-cert",
		"-nats localhost -nats-key k":                "flag -nats-cert is missing: give the certificate that -nats-key belongs to",
		"-nats-creds c":                              "flag -nats-creds: there is no -nats that it could be for: add -nats",
		"-http-host http://a":                        `flag -http-host: "http://a" is not a host name: give it without a scheme and a port`,
		"-max-scouts -1":                             `flag -max-scouts: "-1" is not a number such as 1000, or 0 for no limit`,
		"-max-name-bytes 5 GiB":                      `argument "GiB" belongs to no flag: remove it; see scoutmaster -help`,
		"-max-name-bytes 4KB":                        `flag -max-name-bytes: "4KB" is not a number of bytes such as 4096, 64KiB or 2GiB, or 0 for no limit`,
		"3000":                                       `argument "3000" belongs to no flag: remove it; see scoutmaster -help`,
	} {
		var c config
		err := c.program().Parse(strings.Fields(args))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", args, err, want)
		}
	}
}
