package main

import (
	"os"
	"time"

	"scout/cmd/internal/cli"
	"scout/internal/access"
)

// config is what a scout is told.
type config struct {
	dir       string        // as given: not resolved yet, nor known to exist
	master    string        // host:port
	poll      time.Duration // how often the directory is checked without being notified
	host      string        // the name that the files are listed under; UTF-8
	exclude   []string      // valid globs on the path relative to dir
	recursive bool
	insecure  bool   // a master or a listener beyond loopback is allowed without TLS
	metrics   string // host:port; empty: not served
	pprof     string // host:port of loopback; empty: no profiles
	access    access.Credentials
}

// program describes the scout; its flags fill c.
func (c *config) program() cli.Program {
	return cli.Program{
		Name:     "scout",
		Synopsis: "-dir DIR -master HOST:PORT",
		Summary:  "watches a directory and tells a scoutmaster which files exist",
		Description: `
Every entry below the directory that is not itself a directory is listed: hidden
ones, links (which are not followed), sockets and pipes too. A change reaches the
scoutmaster's list in about a millisecond. One scout watches one directory, and
no two scouts on a machine the same one.

At the start the directory is checked, claimed and registered, and whatever is
wrong ends the scout with one line that says so. Once registered it stays up: it
comes back by itself after the loss of the scoutmaster, the network or the
directory.`,
		Examples: []cli.Example{
			{Command: "scout -dir /srv/data -master localhost:3000", Meaning: "list /srv/data at a scoutmaster on this machine"},
			{Command: "scout -dir . -master localhost:3000 -exclude .git -exclude '**/*.{o,tmp}'", Meaning: "leave out a directory and some files"},
			{Command: "scout -dir /srv/data -master list.example:3000 -tls-ca ca.pem -token-file token", Meaning: "report to another machine, over TLS and with a token"},
			{Command: "MONITOR_DIR=/srv/data SCOUT_MASTER_ADDRESS=list.example:3000 scout -insecure", Meaning: "report to another machine, on a network that you trust"},
		},
		EnvPrefix: "SCOUT_",
		Flags:     append(c.flags(), credentialFlags(&c.access)...),
		Check:     c.check,
	}
}

// check looks at the flags together.
func (c *config) check() error {
	if err := c.checkMaster(); err != nil {
		return err
	}
	if err := cli.CheckProfiles(c.pprof); err != nil || c.metrics == "" {
		return err
	}
	return cli.CheckListen("metrics", c.metrics, c.insecure)
}

func (c *config) flags() []cli.Flag {
	return []cli.Flag{
		{
			Name: "dir", Env: "MONITOR_DIR", Value: "DIR", Required: true, Set: cli.To(&c.dir, cli.Path),
			Usage: "the directory to watch; relative is resolved, and so are links in it",
		},
		{
			Name: "master", Env: "SCOUT_MASTER_ADDRESS", Value: "HOST:PORT", Required: true, Set: cli.To(&c.master, cli.DialAddress),
			Usage: "the scoutmaster's gRPC address",
		},
		{
			Name: "poll", Value: "DURATION", Default: "5s", Set: cli.To(&c.poll, cli.Duration),
			Usage: "how often the directory is checked without being notified",
		},
		{
			Name: "host", Value: "NAME", Default: hostName(), DefaultText: "the host name", Required: true, Set: cli.To(&c.host, host),
			Usage: "the name that this scout's files are listed under",
		},
		{
			Name: "exclude", Value: "GLOB", Split: splitGlobs, Set: cli.Each(&c.exclude, glob),
			Usage: "paths to leave out, relative to the directory; ** is any number of directories, and an\n" +
				"      excluded directory is not even read; in the environment separated by commas",
		},
		{
			Name: "recursive", Default: "true", Set: cli.To(&c.recursive, cli.OnOff),
			Usage: "-recursive=false: only the directory's own entries",
		},
		{
			Name: "insecure", Default: "false", Set: cli.To(&c.insecure, cli.OnOff),
			Usage: "allow a scoutmaster on another machine, without encryption",
		},
		{
			Name: "metrics", Value: "ADDRESS", Set: cli.To(&c.metrics, cli.ListenAddress),
			Usage: "serve metrics at /metrics here, for Prometheus: a port (this machine only) or host:port; off unless given",
		},
		cli.ProfileFlag(&c.pprof),
	}
}

// hostName is empty when the system cannot say; the flag is then required.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
