package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scout/internal/access"
)

func TestFlags(t *testing.T) {
	standard := config{dir: "d", masters: []string{"localhost:3000"}, poll: 5 * time.Second, host: hostName(), recursive: true}
	with := func(change func(*config)) config { c := standard; change(&c); return c }
	const required = "-dir d -master localhost:3000 "
	tests := []struct {
		args string
		env  map[string]string
		want config
	}{
		{args: required, want: standard},
		{args: required + "-recursive=false", want: with(func(c *config) { c.recursive = false })},
		{args: required + "-recursive false -poll 1m", want: with(func(c *config) { c.recursive, c.poll = false, time.Minute })},
		{args: required + "-exclude *.{o,tmp} --exclude=.git", want: with(func(c *config) { c.exclude = []string{"*.{o,tmp}", ".git"} })},
		{args: required + "-metrics 9100 -pprof localhost:1", want: with(func(c *config) { c.metrics, c.pprof = "127.0.0.1:9100", "localhost:1" })},
		{args: required + "-metrics :9101 -metrics-tls-cert c -metrics-tls-key k -metrics-token-file t", want: with(func(c *config) {
			c.metrics, c.metricsFiles = ":9101", access.Files{Cert: "c", Key: "k", HTTPTokens: "t"}
		})},
		{args: "-dir d -master web-01:3000 -tls-ca a -tls-cert c -tls-key k -tls-server-name n -token-file t", want: with(func(c *config) {
			c.masters = []string{"web-01:3000"}
			c.access = access.Credentials{CA: "a", Cert: "c", Key: "k", ServerName: "n", Token: "t"}
		})},
		{args: "-dir d -master a:1,[::1]:2,3 -insecure", want: with(func(c *config) { c.masters, c.insecure = []string{"a:1", "[::1]:2", "127.0.0.1:3"}, true })},
		{args: required + "-token-file t", want: with(func(c *config) { c.access.Token = "t" })},
		{args: "-dir d -master web-01:3000 -insecure", want: with(func(c *config) { c.masters, c.insecure = []string{"web-01:3000"}, true })},
		{
			env: map[string]string{
				"MONITOR_DIR": "/srv/\xff", "SCOUT_MASTER_ADDRESS": "web-01:3000", "SCOUT_POLL": "10s", "SCOUT_HOST": "wéb",
				"SCOUT_EXCLUDE": "*.{o,tmp}, .git,", "SCOUT_RECURSIVE": "false", "SCOUT_INSECURE": "1",
			},
			want: config{
				dir: "/srv/\xff", masters: []string{"web-01:3000"}, poll: 10 * time.Second, host: "wéb",
				exclude: []string{"*.{o,tmp}", ".git"}, insecure: true,
			},
		},
	}
	for _, test := range tests {
		for key, value := range test.env {
			t.Setenv(key, value)
		}
		var c config
		if err := c.program().Parse(strings.Fields(test.args)); err != nil {
			t.Errorf("%q, %v: %v", test.args, test.env, err)
		}
		if diff := cmp.Diff(test.want, c, cmp.AllowUnexported(config{})); diff != "" {
			t.Errorf("%q, %v: %s", test.args, test.env, diff)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	const required = "-dir d -master localhost:3000 "
	for args, want := range map[string]string{
		required + "-metrics :9100":                              "flag -metrics: :9100 can be reached from other machines and is not encrypted: give the port alone to serve this machine only, add -metrics-tls-cert and -metrics-tls-key, or add -insecure if you trust the network",
		required + "-metrics-tls-cert c":                         "flag -metrics-tls-key is missing: give the key that belongs to -metrics-tls-cert",
		required + "-metrics 1 -metrics-tls-key k":               "flag -metrics-tls-cert is missing: give the certificate that -metrics-tls-key belongs to",
		required + "-metrics-token-file t":                       "flag -metrics is missing: give the address that the other -metrics flags are about",
		required + "-metrics :1 -insecure -metrics-token-file t": "flag -metrics-token-file: tokens would travel to :1 unencrypted, which -insecure does not allow either: add -metrics-tls-cert and -metrics-tls-key, or give -metrics the port alone to serve this machine only",
		required + "-pprof :1 -insecure":                         "flag -pprof: :1 can be reached from other machines, and profiles show what is in memory: give the port alone",
		"":                                                       "flag -dir is missing: give -dir DIR or set MONITOR_DIR (the directory to watch; a relative path and links in it are resolved)",
		required + "-dir e":                                      "flag -dir is given twice: a scout watches one directory: start one scout for each",
		"-dir d":                                                 "flag -master is missing: give -master HOST:PORT or set SCOUT_MASTER_ADDRESS (the scoutmaster's gRPC address; several, separated by commas, and a name that stands for several addresses, are tried in turn)",
		"-dir d -master web:3000":                                "flag -master: web:3000 is beyond this machine and the connection is not encrypted: add -tls-ca, use a tunnel that ends on this machine, or add -insecure if you trust the network",
		"-dir d -master web:3000 -insecure -token-file t": "flag -token-file: tokens would travel to web:3000 unencrypted, which -insecure does not allow either: " +
			"add -tls-ca, or use a tunnel that ends on this machine",
		required + "-tls-cert c":                       "flag -tls-key is missing: give the key that belongs to -tls-cert",
		required + "-tls-key k":                        "flag -tls-cert is missing: give the certificate that -tls-key belongs to",
		"-dir d -master localhost:1,web:3000":          "flag -master: web:3000 is beyond this machine and the connection is not encrypted: add -tls-ca, use a tunnel that ends on this machine, or add -insecure if you trust the network",
		"-dir d -master localhost:1,localhost:1":       "flag -master: localhost:1 is there twice: give each scoutmaster once",
		"-dir d -master localhost:1,":                  `flag -master: "" is not host:port with a port of 1-65535`,
		"-dir d -master :3000":                         `flag -master: ":3000" names no host: give localhost:3000 or another host`,
		required + "-exclude [":                        `flag -exclude: "[" is not a glob pattern: check its brackets, or put a backslash before what is meant literally`,
		required + "-exclude /srv/a":                   `flag -exclude: "/srv/a" can match nothing: patterns are relative to the directory, as in **/*.tmp`,
		required + "-exclude a/":                       `flag -exclude: "a/" can match nothing: leave out the slash at its end, or put ** behind it`,
		required + "-host w\xff":                       `flag -host: "w\xff": the host is not UTF-8: give another name`,
		required + "-host w\x1b[2J":                    `flag -host: "w\x1b[2J": the host has control characters: give another name`,
		required + "-host " + strings.Repeat("w", 256): `flag -host: "` + strings.Repeat("w", 40) + `": the host is longer than 255 bytes: give another name`,
		required + "-poll -1s":                         `flag -poll: "-1s" is too short: give at least 1ms`,
		required + "-recursive maybe":                  `argument "maybe" belongs to no flag: remove it; see scout -help`,
	} {
		var c config
		err := c.program().Parse(strings.Fields(args))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", args, err, want)
		}
	}
}

func TestSplitGlobs(t *testing.T) {
	for list, want := range map[string][]string{
		"":                  nil,
		" , ,":              nil,
		"a,b":               {"a", "b"},
		"a, b ,":            {"a", "b"},
		"*.{o,tmp},.git":    {"*.{o,tmp}", ".git"},
		"{a,{b,c}},d":       {"{a,{b,c}}", "d"},
		"[,],a":             {"[,]", "a"},
		`a\,b,c`:            {`a\,b`, "c"},
		`\{a,b`:             {`\{a`, "b"},
		"{a,b":              {"{a,b"},
		"a},b":              {"a}", "b"},
		`a\`:                {`a\`},
		"node_modules,**/x": {"node_modules", "**/x"},
	} {
		if diff := cmp.Diff(want, splitGlobs(list)); diff != "" {
			t.Errorf("%s: %s", list, diff)
		}
	}
}
