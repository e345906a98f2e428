package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/cli"
	"scout/cmd/internal/netflags"
	"scout/cmd/internal/version"
	"scout/internal/fleet"
	"scout/internal/hostport"
	"scout/internal/jetstream"
	"scout/internal/master"
	"scout/internal/stream"
)

const (
	// standardPort is the gRPC port that a scoutmaster's name omits.
	standardPort = "3000"
	// leastLog is the smallest log: some snapshots of large directories.
	leastLog = 1 << 20
	// mostReplicas is the limit of JetStream.
	mostReplicas = 5
	maxFleet     = 64 // characters of the name of a fleet
	// leaveTime is how long a scoutmaster that stops tries to tell the others, of
	// the 5 s that it may take to stop.
	leaveTime = 600 * time.Millisecond
)

// sharing is how a scoutmaster shares its list with others.
type sharing struct {
	nats      []string // URLs of NATS servers; none: the scoutmaster is alone
	fleet     string   // which list
	name      string   // of this scoutmaster; empty: the default
	advertise string   // URL under which consumers reach this scoutmaster; empty: the default
	cutOff    time.Duration
	logBytes  uint64
	replicas  int // 0: as many as the servers allow, up to 3

	creds, ca, cert, key string // files, as NATS has them
}

func (s *sharing) flags() []cli.Flag {
	return []cli.Flag{
		{
			Name: "nats", Value: "URLS", Set: cli.To(&s.nats, parseURLs),
			Usage: "share the list with other scoutmasters, by way of these NATS servers with JetStream; URLs such as nats://10.0.0.1:4222, separated by commas",
		},
		{
			Name: "fleet", Value: "NAME", Default: "scout", Set: cli.To(&s.fleet, parseFleet),
			Usage: "which list to share: letters, digits, - and _; several fleets may use the same NATS servers",
		},
		{
			Name: "name", Value: "NAME", DefaultText: "the host name, and the port of -grpc unless it is " + standardPort,
			Set: cli.To(&s.name, parseName), Usage: "the name of this scoutmaster, for people",
		},
		{
			Name: "advertise", Value: "URL", DefaultText: "the host name and the port of -http",
			Set: cli.To(&s.advertise, parseAdvertised), Usage: "the URL under which consumers reach this scoutmaster, for /scouts and the page",
		},
		{
			Name: "cut-off", Value: "DURATION", Default: "15s", Set: cli.To(&s.cutOff, cli.Duration),
			Usage: "how long without a word through the log until this scoutmaster stops answering; longer than an election of NATS (4-8 s)",
		},
		{
			Name: "log-bytes", Value: "BYTES", Default: "1GiB", Set: cli.To(&s.logBytes, parseLogBytes),
			Usage: "the size of the log, a ring; a scoutmaster that has missed what falls out of it takes the list from another one",
		},
		{
			Name: "replicas", Value: "NUMBER", Default: "auto", Set: cli.To(&s.replicas, parseReplicas),
			Usage: "copies of the log: auto is 3 if there are three NATS servers, and 1 otherwise",
		},
		netflags.File("nats-creds", &s.creds, "the credentials for NATS, as nsc writes them"),
		netflags.File("nats-ca", &s.ca, "the authorities for the certificates of the NATS servers, in PEM; turns on TLS"),
		netflags.File("nats-cert", &s.cert, "the certificate for NATS, in PEM"),
		netflags.File("nats-key", &s.key, "the key of that certificate, in PEM"),
	}
}

// checkSharing looks at the flags together.
func (c *config) checkSharing() error {
	s := &c.sharing
	if len(s.nats) == 0 {
		for _, f := range []struct{ flag, value string }{{"nats-creds", s.creds}, {"nats-ca", s.ca}, {"nats-cert", s.cert}, {"nats-key", s.key}} {
			if f.value != "" {
				return fmt.Errorf("flag -%s: there is no -nats that it could be for: add -nats", f.flag)
			}
		}
		return nil
	}
	switch {
	case c.cutOff <= c.deadline:
		return fmt.Errorf("flag -cut-off: %s is not greater than the deadline of %s: raise -cut-off or lower -deadline", c.cutOff, c.deadline)
	case s.cert != "" && s.key == "":
		return errors.New("flag -nats-key is missing: give the key that belongs to -nats-cert")
	case s.key != "" && s.cert == "":
		return errors.New("flag -nats-cert is missing: give the certificate that -nats-key belongs to")
	}
	for _, server := range s.nats {
		if err := s.checkServer(server, c.insecure); err != nil {
			return err
		}
	}
	return nil
}

// checkServer refuses to send the list to a server on another machine unencrypted,
// unless the network is trusted.
func (s *sharing) checkServer(server string, insecure bool) error {
	u, err := url.Parse(server)
	if err != nil {
		return err
	}
	encrypted := u.Scheme == "tls" || u.Scheme == "wss" || s.ca != ""
	if encrypted || hostport.IsLoopback(net.JoinHostPort(u.Hostname(), "0")) {
		return nil
	}
	if u.User != nil {
		return fmt.Errorf("flag -nats: the user and password of %s would travel unencrypted, which -insecure does not allow either: "+
			"give a URL that begins with tls://, or add -nats-ca", u.Redacted())
	}
	if insecure {
		return nil
	}
	return fmt.Errorf("flag -nats: %s is beyond this machine and the connection is not encrypted: "+
		"give a URL that begins with tls://, add -nats-ca, or add -insecure if you trust the network", u.Redacted())
}

// parseURLs parses the URLs of NATS servers.
func parseURLs(text string) ([]string, error) {
	var urls []string
	for _, s := range splitNames(text) {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Path != "" {
			return nil, fmt.Errorf("%q is not the URL of a NATS server such as nats://10.0.0.1:4222", redacted(s))
		}
		urls = append(urls, s)
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%q names no NATS server", text)
	}
	return urls, nil
}

// redacted is a URL, perhaps an invalid one, without a password.
func redacted(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "..." + s[i:]
	}
	return s
}

func parseFleet(s string) (string, error) {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if len(s) > maxFleet || strings.Trim(s, allowed) != "" {
		return "", fmt.Errorf("%.99q is not the name of a fleet: give up to %d letters, digits, - and _", s, maxFleet)
	}
	return s, nil
}

func parseName(s string) (string, error) {
	if err := stream.CheckHost(s); err != nil {
		return "", fmt.Errorf("%.40q is not a name for people: give up to 255 bytes of text", s)
	}
	return s, nil
}

func parseAdvertised(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not a URL such as https://list.example:3001", redacted(s))
	}
	return strings.TrimSuffix(s, "/"), nil
}

func parseLogBytes(s string) (uint64, error) {
	switch n, err := parseBytes(s); {
	case err != nil:
		return 0, fmt.Errorf("%q is not a number of bytes such as 64MiB or 2GiB", s)
	case n < leastLog:
		return 0, fmt.Errorf("%q is too small: give at least 1MiB", s)
	default:
		return n, nil
	}
}

func parseReplicas(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostReplicas {
		return 0, fmt.Errorf("%q is neither auto nor a number from 1 to %d", s, mostReplicas)
	}
	return n, nil
}

// identity returns the name of a scoutmaster with these listeners, and the URL under
// which consumers reach it.
func (c *config) identity(grpc, http net.Addr) (name, advertised string, err error) {
	if name, advertised = c.name, c.advertise; name != "" && advertised != "" {
		return name, advertised, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", "", fmt.Errorf("this machine has no name: %w: give -name and -advertise", err)
	}
	own := host
	if port := portOf(grpc); port != standardPort {
		own = net.JoinHostPort(host, port)
	}
	scheme := "http"
	if c.files.Cert != "" {
		scheme = "https"
	}
	return cmp.Or(name, own), cmp.Or(advertised, scheme+"://"+net.JoinHostPort(host, portOf(http))), nil
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String()) // each listener's address has one
	return port
}

// fleetSide is the connection to the other scoutmasters.
type fleetSide struct {
	name     string // of this scoutmaster
	conn     *jetstream.Conn
	fleet    *fleet.Fleet
	registry *master.Registry
	replicas atomic.Int64 // copies of the log that are current; 0: not known
}

// newFleetSide connects to the NATS servers, and makes the registry of a scoutmaster
// that shares its list. Run takes part in the fleet.
func newFleetSide(ctx context.Context, p parts) (*fleetSide, error) {
	c := p.config
	name, advertised, err := c.identity(p.grpc.Addr(), p.http.Addr())
	if err != nil {
		return nil, err
	}
	conn, err := jetstream.Open(ctx, jetstream.Options{
		URLs: c.nats, Fleet: c.fleet, Name: name, Bytes: int64(c.logBytes), Replicas: c.replicas,
		Credentials: c.creds, CA: c.ca, Certificate: c.cert, Key: c.key, Log: p.log,
	})
	if err != nil {
		return nil, fmt.Errorf("flag -nats: %w", err)
	}
	f := fleet.New(conn)
	registry := master.Share(p.list, master.Sharing{
		Sequence: f, Peers: f, Name: name, URL: advertised, Version: version.String(), Address: f.Address(),
		Heartbeat: c.heartbeat, Deadline: c.deadline, CutOff: c.cutOff,
	}, p.log)
	return &fleetSide{name: name, conn: conn, fleet: f, registry: registry}, nil
}

// Run takes part in the fleet until ctx is done.
func (f *fleetSide) Run(ctx context.Context) error {
	defer f.conn.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.registry.Run(ctx) })
	group.Go(func() error { return f.fleet.Serve(ctx, f.registry) })
	group.Go(func() error {
		f.countReplicas(ctx)
		return nil
	})
	return group.Wait()
}

// replicasInterval is how often the copies of the log are counted.
const replicasInterval = 15 * time.Second

// countReplicas counts the copies of the log, for the metrics, until ctx is done.
func (f *fleetSide) countReplicas(ctx context.Context) {
	tick := time.NewTicker(replicasInterval)
	defer tick.Stop()
	for {
		_, current, _ := f.conn.Replicas(ctx) // 0 after an error
		f.replicas.Store(int64(current))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// warnOfOneCopy logs that the log is lost with the server that it is on.
func (f *fleetSide) warnOfOneCopy(ctx context.Context, log *zap.Logger) {
	n, _, err := f.conn.Replicas(ctx)
	if err == nil && n == 1 {
		log.Warn("log not replicated", zap.Int("replicas", n),
			zap.String("reason", "there are fewer than three NATS servers, or -replicas is 1: if the server with the log is lost, all scouts send their files again"))
	}
}

// leave tells the other scoutmasters that this one stops. Its scouts' files stay
// listed while they move.
func leave(r *master.Registry, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		log.Warn("leaving not announced", zap.Error(err))
	}
}
