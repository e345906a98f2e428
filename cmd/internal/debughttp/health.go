package debughttp

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Health says how a program is doing. Each function returns nil, or an error for
// people.
type Health struct {
	Alive func() error // the program works, and must not be restarted
	Ready func() error // it does what it is there for
}

// answerHealth serves a function of Health.
func answerHealth(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok") //nolint:errcheck // the client has left
	}
}

// probeTime bounds a probe.
const probeTime = 3 * time.Second

// Probe asks the program that listens on the address of a flag whether it is ready. It
// takes at most 3 s.
func Probe(ctx context.Context, flag, address string, encrypted bool) error {
	if address == "" {
		return fmt.Errorf("flag -%s is missing: a probe asks /readyz there", flag)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return fmt.Errorf("flag -%s: %s has no port that a probe could ask: give one", flag, address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	// No proxy of the environment. The certificate is for another name than the address
	// here, and a probe reveals nothing.
	client := http.Client{Timeout: probeTime, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // see above
	if encrypted {
		url = "https" + strings.TrimPrefix(url, "http")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	return readiness(answer)
}

// readiness returns why an answer of /readyz says that the program is not ready, or
// nil.
func readiness(answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // the status is enough
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		return errors.New("not ready: " + problem.Detail)
	}
	return fmt.Errorf("not ready: %s: %s", answer.Status, strings.TrimSpace(string(body)))
}
