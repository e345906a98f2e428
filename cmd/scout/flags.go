package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/netflags"
	"scout/internal/access"
	"scout/internal/glob"
	"scout/internal/hostport"
	"scout/internal/stream"
)

// config is the configuration of a scout.
type config struct {
	dir       string        // as given: not resolved yet, nor known to exist
	masters   []string      // host:port each
	poll      time.Duration // how often the directory is checked without being notified
	host      string        // the name that the files are listed under; UTF-8
	exclude   []string      // valid globs on the path relative to dir
	recursive bool
	insecure  bool   // a scoutmaster or a listener beyond loopback is allowed without TLS
	metrics   string // host:port; empty: not served
	pprof     string // host:port of loopback; empty: not served
	access    access.Credentials

	metricsFiles access.Files // credentials of the -metrics listener
}

// program describes the scout; its flags fill c.
func (c *config) program() cli.Program {
	return cli.Program{
		Name:     "scout",
		Synopsis: "-dir DIR -master HOST:PORT",
		Summary:  "watches a directory and tells a scoutmaster which files exist",
		Description: `
The scout lists every entry below the directory that is not itself a directory:
hidden files, links (which it does not follow), sockets and pipes too. A change
reaches the scoutmaster's list in about a millisecond. One scout watches one
directory, and no two scouts on a machine watch the same one.

At its start the scout checks, claims and registers the directory. If one of these
fails, it ends with one line that says why. Once registered it stays up, and
recovers by itself from the loss of the scoutmaster, the network or the directory.`,
		Examples: []struct{ Command, Meaning string }{
			{Command: "scout -dir /srv/data -master localhost:3000", Meaning: "list /srv/data at a scoutmaster on this machine"},
			{Command: "scout -dir . -master localhost:3000 -exclude .git -exclude '**/*.{o,tmp}'", Meaning: "leave out a directory and some files"},
			{Command: "scout -dir /srv/data -master list.example:3000 -tls-ca ca.pem -token-file token", Meaning: "report to another machine, over TLS and with a token"},
			{Command: "MONITOR_DIR=/srv/data SCOUT_MASTER_ADDRESS=list.example:3000 scout -insecure", Meaning: "report to another machine, on a network that you trust"},
		},
		EnvPrefix: "SCOUT_",
		Flags:     slices.Concat(c.flags(), credentialFlags(&c.access), metricsFlags(&c.metricsFiles)),
		Check:     c.check,
		Probe:     c.probe,
	}
}

// check looks at the flags together.
func (c *config) check() error {
	if err := c.checkMasters(); err != nil {
		return err
	}
	if err := netflags.CheckProfiles(c.pprof); err != nil {
		return err
	}
	return c.checkMetrics()
}

func (c *config) flags() []cli.Flag {
	return []cli.Flag{
		{
			Name: "dir", Env: "MONITOR_DIR", Value: "DIR", Required: true, Set: func(dir string) error { c.dir = dir; return nil },
			Usage: "the directory to watch; a relative path and links in it are resolved",
			Once:  "a scout watches one directory: start one scout for each",
		},
		{
			Name: "master", Env: "SCOUT_MASTER_ADDRESS", Value: "HOST:PORT", Required: true, Set: c.setMasters,
			Usage: "the scoutmaster's gRPC address; several, separated by commas, and a name that stands for several addresses, are tried in turn",
		},
		{
			Name: "poll", Value: "DURATION", Default: "5s", Set: cli.To(&c.poll, cli.Duration),
			Usage: "how often the directory is checked for changes without a notification",
		},
		{
			Name: "host", Value: "NAME", Default: hostName(), DefaultText: "the host name", Required: true, Set: cli.To(&c.host, host),
			Usage: "the name that this scout's files are listed under",
		},
		{
			Name: "exclude", Value: "GLOB", Split: splitGlobs, Set: c.addExclude,
			Usage: "paths to leave out, relative to the directory; ** matches any number of directories; an excluded directory is neither read nor watched; in the environment separated by commas",
		},
		{
			Name: "recursive", Default: "true", Set: cli.To(&c.recursive, cli.OnOff),
			Usage: "list subdirectories too; with -recursive=false only the directory's own entries",
		},
		netflags.Insecure(&c.insecure, "allow a scoutmaster or a -metrics listener beyond this machine, without encryption"),
		{
			Name: "metrics", Value: "ADDRESS", Set: cli.To(&c.metrics, hostport.ParseListen),
			Usage: "serve metrics for Prometheus at /metrics, and health at /healthz and /readyz, on this address: a port (this machine only) or host:port; off unless given",
		},
		netflags.Profiles(&c.pprof),
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

// host parses the name that files are listed under. It refuses the names that
// every scoutmaster refuses.
func host(s string) (string, error) {
	if err := stream.CheckHost(s); err != nil {
		return "", fmt.Errorf("%.40q: %w: give another name", s, err)
	}
	return s, nil
}

// text accepts UTF-8.
func text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return s, nil
}

// addExclude is the Set of the flag -exclude.
func (c *config) addExclude(s string) error {
	if _, err := glob.Parse(s); err != nil {
		return err
	}
	c.exclude = append(c.exclude, s)
	return nil
}

// splitGlobs splits a list of patterns. It omits empty ones, as after a comma at
// the end.
func splitGlobs(list string) (patterns []string) {
	for _, p := range glob.Split(list) {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}
