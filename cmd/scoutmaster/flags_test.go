package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	standard := config{grpc: "127.0.0.1:3000", http: "127.0.0.1:3001", heartbeat: time.Second, deadline: 3 * time.Second, watchers: 1024}
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
		{args: "-grpc :3000 -insecure", want: with(func(c *config) { c.grpc, c.insecure = ":3000", true })},
		{
			env: map[string]string{
				"SCOUTMASTER_GRPC": "10.0.0.1:1", "SCOUTMASTER_HTTP": "[::]:2", "SCOUTMASTER_HEARTBEAT": "2s",
				"SCOUTMASTER_DEADLINE": "2001ms", "SCOUTMASTER_INSECURE": "true", "SCOUTMASTER_WATCHERS": "0",
			},
			want: config{grpc: "10.0.0.1:1", http: "[::]:2", heartbeat: 2 * time.Second, deadline: 2001 * time.Millisecond, insecure: true},
		},
	}
	for _, test := range tests {
		for key, value := range test.env {
			t.Setenv(key, value)
		}
		var c config
		if err := c.program().Parse(strings.Fields(test.args), os.Getenv); err != nil || c != test.want {
			t.Errorf("%q, %v: got %+v, %v", test.args, test.env, c, err)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-grpc 70000":                 `flag -grpc: "70000" is not a port (0-65535) or host:port`,
		"-deadline 1s":                "flag -deadline: 1s is not greater than the heartbeat of 1s: raise -deadline or lower -heartbeat",
		"-heartbeat 0":                `flag -heartbeat: "0" is too short: give at least 1ms`,
		"-grpc 3001":                  "flag -http: 127.0.0.1:3001 is the address of -grpc too: give one of them another port",
		"-http :3001":                 "flag -http: :3001 can be reached from other machines and is not encrypted: give the port alone to serve this machine only, or add -insecure if you trust the network",
		"-grpc web:1 -insecure=false": "flag -grpc: web:1 can be reached from other machines and is not encrypted: give the port alone to serve this machine only, or add -insecure if you trust the network",
		"-pprof :6060 -insecure":      "flag -pprof: :6060 can be reached from other machines, and profiles show what is in memory: give the port alone",
		"3000":                        `argument "3000" belongs to no flag: remove it; see scoutmaster -help`,
	} {
		var c config
		err := c.program().Parse(strings.Fields(args), func(string) string { return "" })
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", args, err, want)
		}
	}
}
