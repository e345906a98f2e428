package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// output is an Output that a test reads.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) onDropped(func(int)) {}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func TestJSONLog(t *testing.T) {
	var out output
	log := New(&out, JSON, zapcore.InfoLevel)
	log.Debug("not shown")
	log.Info("files synced", zap.String("host", "web-01"), zap.Duration("seconds", 1500*time.Millisecond))

	var event map[string]any
	if err := json.Unmarshal([]byte(out.String()), &event); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"level": "info", "msg": "files synced", "host": "web-01", "seconds": 1.5} {
		if event[key] != want {
			t.Errorf("%s is %v, want %v", key, event[key], want)
		}
	}
	if stamp, _ := event["time"].(string); !isStamp(stamp) {
		t.Errorf("time is %v", event["time"])
	}
	if len(event) != 5 {
		t.Errorf("%v", event)
	}
}

// isStamp reports whether s is RFC 3339 with at least milliseconds.
func isStamp(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && regexp.MustCompile(`\.\d{3,9}(Z|[+-]\d\d:\d\d)$`).MatchString(s)
}

func TestEventsAreNotSampled(t *testing.T) {
	var out output
	log := New(&out, JSON, zapcore.InfoLevel)
	for range 1000 {
		log.Info("same")
	}
	if n := strings.Count(out.String(), "\n"); n != 1000 {
		t.Errorf("%d of 1000", n)
	}
}

func TestConsoleLog(t *testing.T) {
	var out output
	log := New(&out, Console, zapcore.InfoLevel).With(zap.String("host", "web-01"))
	log.Error("failed", zap.Error(errors.New("open \"a\": \x1b[31m\nno\x7f \xff")), zap.Int("files", 2))
	stamp, rest, _ := strings.Cut(out.String(), "  ")
	if want := `error  failed: open "a": \x1b[31m\nno\x7f ` + "\ufffd" + `  {"host": "web-01", "files": 2}` + "\n"; !isStamp(stamp) || rest != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestLibraryLog(t *testing.T) {
	var out output
	log := Library(New(&out, JSON, zapcore.DebugLevel), "http server").With(zap.Int("port", 1))
	log.Info("not shown")
	log.Warn("bad request from 10.0.0.1")

	var event map[string]any
	if err := json.Unmarshal([]byte(out.String()), &event); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if event["msg"] != "http server" || event["detail"] != "bad request from 10.0.0.1" || event["port"] != 1.0 {
		t.Errorf("%v", event)
	}
}

// The standard library's loggers know no levels. What they say is logged.
func TestStdLog(t *testing.T) {
	var out output
	StdLog(New(&out, JSON, zapcore.InfoLevel), "http").Print("http: TLS handshake error from 10.0.0.1:1: EOF")
	var event map[string]any
	if err := json.Unmarshal([]byte(out.String()), &event); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if event["msg"] != "http" || event["level"] != "warn" || event["detail"] != "http: TLS handshake error from 10.0.0.1:1: EOF" {
		t.Errorf("%v", event)
	}
}

// Whatever a peer causes, a library writes two lines of a kind in each interval, and
// the lines account for all that it said.
func TestStdLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		std := StdLog(New(&out, JSON, zapcore.InfoLevel), "http")
		for i := range 1000 {
			std.Printf("http: TLS handshake error from 10.0.0.1:%d: EOF", i)
		}
		std.Print("http: panic serving 10.0.0.1:1: something\ngoroutine 1")
		for i := range 1000 {
			std.Printf("kind-%d a b", i)
		}
		time.Sleep(2 * stdInterval)
		synctest.Wait()
		lines, said := strings.Split(strings.TrimSpace(out.String()), "\n"), 0
		for _, line := range lines {
			var event struct{ Withheld int }
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Fatal(err)
			}
			said += 1 + event.Withheld
		}
		if said != 2001 || len(lines) > 2*(stdKinds+1) {
			t.Errorf("%d lines account for %d of 2001", len(lines), said)
		}
		for _, want := range []string{"10.0.0.1:0: EOF", "10.0.0.1:999: EOF", "panic serving", "kind-999"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no line has %q", want)
			}
		}
	})
}

func TestLibraryNoise(t *testing.T) {
	var out output
	log := Library(New(&out, JSON, zapcore.DebugLevel), "grpc")
	log.Warn("[core] [Server #1] grpc: Server.processRPC failed to write status: connection error: transport is closing")
	log.Warn(`[core] [Channel #1 SubChannel #2] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:1"}`)
	if out.String() != "" {
		t.Errorf("logged: %s", out.String())
	}
	log.Warn("[core] [Server #1] grpc: Server.Serve failed to create ServerTransport: connection error")
	if out.String() == "" {
		t.Error("not logged")
	}
}
