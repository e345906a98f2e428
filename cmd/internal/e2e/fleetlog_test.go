//go:build linux

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"scout/cmd/internal/testfleet"
	"scout/internal/access/accesstest"
	scoutv1 "scout/proto/scout/v1"
)

// What is wrong with NATS at the start is one line with the cause and the cure,
// within 10 s.
func TestFleetWrongStarts(t *testing.T) {
	t.Parallel()
	plain := newFleet(t, 1, 0)
	locked := newFleetWith(t, testfleet.FleetConfig{Servers: 1, NATSLines: []string{
		`accounts {
			WITH { jetstream: enabled, users: [
				{ user: some, password: p, permissions: { publish: "scout.>", subscribe: ">" } }
				{ user: all, password: p }
			] }
			SMALL { jetstream: { max_file: 8MB, max_mem: 8MB }, users: [ { user: small, password: p } ] }
			WITHOUT { users: [ { user: without, password: p } ] }
			SYS { users: [ { user: sys, password: p } ] }
		}
		system_account: SYS`,
	}})
	ca, other := accesstest.NewAuthority(t, "ca"), accesstest.NewAuthority(t, "other")
	pair := ca.Issue("localhost")
	secret := newFleetWith(t, testfleet.FleetConfig{Servers: 1, NATSLines: []string{
		fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", pair.Cert, pair.Key, ca.File),
	}})
	js := plain.jetStream(0)
	for name, metadata := range map[string]map[string]string{"other": nil, "newer": {"scout.format": "99"}} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "SCOUT_" + name, Subjects: []string{"scout." + name + ".log"}, Metadata: metadata,
		})
		must(t, err)
	}
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	mute := make([]string, 4)
	for i := range mute {
		mute[i] = serve(t, func(net.Conn) {})
	}
	at := func(f *fleet, user string) string {
		if user != "" {
			user += ":p@"
		}
		return "nats://" + user + "localhost:" + port(f.Servers[0].Address())
	}
	creds := secretFile(t, "no credentials")
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"nobody listens":           {[]string{"-nats", "127.0.0.1:" + freePort(t)}, []string{"no server answers", "start nats-server -js there, or correct -nats"}},
		"a web server":             {[]string{"-nats", web.Listener.Addr().String()}, []string{"correct -nats"}},
		"servers that say nothing": {[]string{"-nats", strings.Join(mute, ",")}, []string{"-nats"}},
		"no user":                  {[]string{"-nats", at(locked, "")}, []string{"uthorization", "correct -nats-creds"}},
		"a wrong user":             {[]string{"-nats", at(locked, "nobody")}, []string{"uthorization", "correct -nats-creds"}},
		"no file of credentials":   {[]string{"-nats", at(plain, ""), "-nats-creds", "/nowhere"}, []string{"/nowhere", "correct -nats-creds"}},
		"a file of something else": {[]string{"-nats", at(plain, ""), "-nats-creds", creds}, []string{"correct -nats-creds"}},
		"no JetStream":             {[]string{"-nats", at(locked, "without")}, []string{"JetStream is not enabled", "-js"}},
		"no permission":            {[]string{"-nats", at(locked, "some")}, []string{"ermissions", "docs/operations.md"}},
		"another program's stream": {[]string{"-nats", at(plain, ""), "-fleet", "other"}, []string{"belongs to another program", "choose another -fleet"}},
		"an incompatible fleet":    {[]string{"-nats", at(plain, ""), "-fleet", "newer"}, []string{"format 99", "run the version that the others run"}},
		"too little room":          {[]string{"-nats", at(locked, "small")}, []string{"lower -log-bytes, or give JetStream more room"}},
		"too few servers":          {[]string{"-nats", at(plain, ""), "-replicas", "3"}, []string{"lower -replicas, or start more NATS servers"}},
		"no TLS here":              {[]string{"-nats", at(secret, "")}, []string{"correct -nats-ca"}},
		"no certificate here":      {[]string{"-nats", at(secret, ""), "-nats-ca", ca.File}, []string{"tls", "-nats-cert"}},
		"another authority":        {[]string{"-nats", at(secret, ""), "-nats-ca", other.File, "-nats-cert", pair.Cert, "-nats-key", pair.Key}, []string{"correct -nats-ca"}},
		"no TLS there":             {[]string{"-nats", at(plain, ""), "-nats-ca", ca.File}, []string{"secure connection not available", "correct -nats-ca"}},
		"no file of authorities":   {[]string{"-nats", at(plain, ""), "-nats-ca", "/nowhere"}, []string{"/nowhere", "correct -nats-ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			e := failureWithin(t, launch(t, programs.MasterCommand(test.args...)), 10*time.Second)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			for _, part := range test.want {
				if !strings.Contains(e.Text("error"), part) {
					t.Errorf("%q does not say %q", e.Text("error"), part)
				}
			}
			if text := e.Text("error"); strings.Contains(text, "\n") || strings.Contains(text, ":p@") {
				t.Errorf("%q has two lines, or a password", text)
			}
		})
	}
	t.Run("right", func(t *testing.T) {
		t.Parallel()
		client := ca.Issue("scoutmaster")
		m := startMaster(t, "-nats", at(secret, ""), "-nats-ca", ca.File, "-nats-cert", client.Cert, "-nats-key", client.Key)
		within(t, patience, m.isReady)
		if e := await(t, m.Process, "log not replicated"); e.Number("replicas") != 1 {
			t.Errorf("%v", e)
		}
	})
}

// One NATS server of three is lost, or comes back without its data, and the log
// goes on. While another leader is elected the list stands still and is not shorter.
func TestFleetLosesOneNATSServer(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 3, 2, 50, "-cut-off", "15s")
	h := f.hop(scouts...)
	h.set(func() { h.stalls = true })
	leader := f.leader()
	follower := (leader + 1) % 3

	f.Servers[follower].Kill()
	write(t, scouts[0].dir, "made without a follower")
	f.agree(scouts...)
	must(t, f.Servers[follower].Erase())
	f.restart(follower)
	write(t, scouts[0].dir, "made while a follower comes back empty")
	f.agree(scouts...)
	f.replicated() // no more than one may be missing

	f.Servers[leader].Kill()
	write(t, scouts[0].dir, "made without a leader")
	t.Logf("the leader was killed: a change was seen after %s", converges(t, f.masters[0], scouts...).Round(time.Millisecond))
	f.agree(scouts...)
	f.restart(leader)
	f.replicated()
	if *long {
		leader = f.leader()
		f.Servers[leader].Freeze()
		write(t, scouts[0].dir, "made while the leader is frozen")
		t.Logf("the leader was frozen: a change was seen after %s", converges(t, f.masters[0], scouts...).Round(time.Millisecond))
		f.agree(scouts...)
		f.Servers[leader].Thaw()
		write(t, scouts[0].dir, "made after the leader has thawed")
		f.agree(scouts...)
	}
	h.done()
	f.never("cut off", "log rebuilt", "scoutmaster lost", "scout dropped", "list differs")
}

// Without a majority of the NATS servers all scoutmasters are cut off. They say
// so, and come back by themselves with the list that was.
func TestFleetLosesMostNATSServers(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 3, 2, 50)
	from := f.logged()
	leader := f.leader()
	f.Servers[leader].Kill()
	f.Servers[(leader+1)%3].Kill()
	write(t, scouts[0].dir, "made without a majority")
	f.areCutOff(from)
	for _, s := range scouts {
		awaitReason(t, s.Process, "master lost", "NOT_SERVING: nothing comes through the log of this scoutmaster")
	}
	f.restart(leader)
	f.restart((leader + 1) % 3)
	f.awaitAll(from, "caught up")
	f.agree(scouts...)
	f.never("log rebuilt")
}

// All NATS servers stop. With their data the history goes on; without, another
// begins, and the scouts send their files again.
func TestFleetLosesAllNATSServers(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 2, 50)
	for _, erased := range []bool{false, true} {
		from := f.logged()
		f.Servers[0].Kill()
		f.areCutOff(from)
		if erased {
			must(t, f.Servers[0].Erase())
		}
		write(t, scouts[0].dir, fmt.Sprint("made without NATS ", erased))
		f.restart(0)
		f.awaitAll(from, "caught up")
		f.agree(scouts...)
		for i, m := range f.masters {
			if rebuilt := len(m.Logged(from[i], "log rebuilt")) > 0; rebuilt != erased {
				t.Errorf("erased: %t, %s", erased, m.Tail())
			}
		}
	}
}

// newFleetOnSmallDisk starts a fleet whose first NATS server has its data on a disk of a
// few MiB. The scoutmasters are ready.
func newFleetOnSmallDisk(t *testing.T, servers int, args ...string) (*fleet, *testfleet.SmallDisk) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	disk, err := testfleet.MountSmallDisk(filepath.Join(dir, "n0", "data"), 32)
	if err != nil {
		t.Skipf("SKIPPED: no mount namespaces here: %v", err)
	}
	t.Cleanup(disk.Kill)
	f := newFleetWith(t, testfleet.FleetConfig{
		Servers: servers, Masters: 2, Dir: dir, NATSEnter: disk.Enter(), Args: append([]string{"-log-bytes", "1MiB"}, args...),
	})
	f.startAll()
	return f, disk
}

// The disk of the NATS server is full. Scoutmasters are cut off and stay, and come back
// by themselves when there is room and the server runs again.
func TestFleetDiskIsFull(t *testing.T) {
	t.Parallel()
	f, disk := newFleetOnSmallDisk(t, 1)
	scouts := f.startScouts(50)
	f.agree(scouts...)
	from := f.logged()
	must(t, disk.Fill())
	write(t, scouts[0].dir, "made while the disk is full")
	f.areCutOff(from)
	must(t, disk.Empty())
	f.Servers[0].Kill() // NATS gives up on a full disk until it is started again
	f.restart(0)
	f.awaitAll(from, "caught up")
	write(t, scouts[0].dir, "made when there is room again")
	f.agree(scouts...)
}

// The disk of one NATS server of three is full. The log goes on without it.
func TestFleetOneDiskIsFull(t *testing.T) {
	t.Parallel()
	f, disk := newFleetOnSmallDisk(t, 3, "-cut-off", "15s")
	scouts := f.startScouts(50)
	f.agree(scouts...)
	h := f.hop(scouts...)
	h.set(func() { h.stalls = true })
	must(t, disk.Fill())
	for i := range 5 {
		for n := range 500 {
			write(t, scouts[0].dir, fmt.Sprint("made while a disk is full ", i, " ", n))
		}
		f.agree(scouts...)
	}
	must(t, disk.Empty())
	f.Servers[0].Kill()
	f.restart(0)
	f.replicated()
	write(t, scouts[0].dir, "made when there is room again")
	f.agree(scouts...)
	h.done()
	f.never("cut off", "log rebuilt", "scoutmaster lost", "scout dropped", "list differs")
}

// Another program has used up what the account may store. Scoutmasters are cut off and
// stay, and come back by themselves when there is room again.
func TestFleetStorageLimit(t *testing.T) {
	t.Parallel()
	for name, storage := range map[string]jetstream.StorageType{"disk": jetstream.FileStorage, "memory": jetstream.MemoryStorage} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleetWith(t, testfleet.FleetConfig{Servers: 1, Masters: 2, Args: []string{"-log-bytes", "1MiB"}, NATSLines: []string{
				`accounts { A { jetstream: { max_file: 8MB, max_mem: 8MB }, users: [ { user: u, password: p } ] } }
				no_auth_user: u`,
			}})
			f.start(0)
			f.stop(0)
			js := f.jetStream(0)
			config := f.stream().Config
			if config.Storage = storage; storage != jetstream.FileStorage { // the operator prefers memory
				must(t, js.DeleteStream(t.Context(), streamName))
				_, err := js.CreateStream(t.Context(), config)
				must(t, err)
			}
			f.startAll()
			scouts := f.startScouts(50)
			f.agree(scouts...)

			from := f.logged()
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}, Storage: storage})
			must(t, err)
			for err == nil {
				_, err = js.Publish(t.Context(), "other", make([]byte, 16<<10))
			}
			t.Logf("there is no room: %v", err)
			write(t, scouts[0].dir, "made without room")
			for i := range f.masters {
				f.isCutOff(i, from[i])
				awaitFrom(t, f.masters[i].Process, from[i], "log entry not acknowledged")
			}
			must(t, js.DeleteStream(t.Context(), "OTHER"))
			f.awaitAll(from, "caught up")
			f.agree(scouts...)
			f.never("log rebuilt")
		})
	}
}

// The operator purges the stream. Nothing depends on what was in it.
func TestFleetPurgedStream(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	f.start(0)
	f.start(1)
	scouts := f.startScouts(50)
	f.agree(scouts...)
	h := f.hop(scouts...)
	stream, err := f.jetStream(0).Stream(t.Context(), streamName)
	must(t, err)
	must(t, stream.Purge(t.Context()))
	write(t, scouts[0].dir, "made after the purge")
	f.agree(scouts...)
	f.start(2) // has to take the state
	f.agree(scouts...)
	h.done()
	f.never("log rebuilt", "scout dropped")
}

// The stream is deleted by hand, or made anew with as many messages as it
// had. Scoutmasters notice, and take their scouts' files again.
func TestFleetDeletedStream(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 2, 50)
	js := f.jetStream(0)
	for _, fits := range []bool{false, true} {
		from := f.logged()
		stream, err := js.Stream(t.Context(), streamName)
		must(t, err)
		info := stream.CachedInfo()
		must(t, js.DeleteStream(t.Context(), streamName))
		if fits {
			_, err := js.CreateStream(t.Context(), info.Config)
			must(t, err)
			for range info.State.LastSeq {
				_, err := js.Publish(t.Context(), info.Config.Subjects[0], []byte("of a stranger"))
				must(t, err)
			}
		}
		for i, m := range f.masters {
			if e := awaitFrom(t, m.Process, from[i], "log rebuilt"); e.Text("reason") == "" {
				t.Errorf("%v", e)
			}
		}
		write(t, scouts[0].dir, fmt.Sprint("made after the deletion ", fits))
		f.agree(scouts...)
	}
}

// Messages of strangers in the stream are ignored.
func TestFleetStrangersMessages(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 2, 50)
	h := f.hop(scouts...)
	js := f.jetStream(0)
	for _, message := range []string{"", "x", strings.Repeat("\x00", 64<<10)} {
		_, err := js.Publish(t.Context(), "scout.scout.log", []byte(message))
		must(t, err)
	}
	write(t, scouts[0].dir, "made after the strangers' messages")
	f.agree(scouts...)
	h.done()
	for _, m := range f.masters {
		await(t, m.Process, "foreign message ignored")
		body, err := m.Get("/metrics")
		must(t, err)
		if !strings.Contains(string(body), "\nscoutmaster_log_foreign_messages_total 3\n") {
			t.Errorf("the messages are not counted: %s", m.Tail())
		}
	}
	f.never("cut off", "log rebuilt", "scout dropped", "list differs")
}

// The permissions of docs/nats-permissions.conf are all that a scoutmaster needs.
func TestFleetPermissions(t *testing.T) {
	t.Parallel()
	permissions, err := os.ReadFile("../../../docs/nats-permissions.conf")
	must(t, err)
	f := newFleetWith(t, testfleet.FleetConfig{Servers: 1, Masters: 2, NATSLines: []string{
		string(permissions), `authorization { users: [ { user: u, password: p, permissions: $scoutmaster_permissions } ] }`,
	}})
	nats := []string{"-nats", "nats://u:p@" + f.Servers[0].Address()}
	f.start(0, nats...)
	scouts := f.startScouts(50)
	f.start(1, append(nats, "-log-bytes", "64MiB")...) // takes the state, and changes the stream
	f.agree(scouts...)
	for _, m := range f.masters {
		m.names(t, "fresh=10s", map[string]string{})
	}
	f.stop(0)
	await(t, scouts[0].Process, "master lost")
	f.agree(scouts...)
	f.never("nats error", "log entry not acknowledged")
}

// The permission to write to the log is withdrawn, and given again.
func TestFleetPermissionWithdrawn(t *testing.T) {
	t.Parallel()
	user := func(permissions string) string {
		return `authorization { users: [ { user: u, password: p ` + permissions + ` } ] }`
	}
	f := newFleetWith(t, testfleet.FleetConfig{
		Servers: 1, Masters: 2, NATSLines: []string{user("")},
	})
	f.startAll("-nats", "nats://u:p@"+f.Servers[0].Address())
	scouts := f.startScouts(50)
	f.agree(scouts...)
	from := f.logged()
	must(t, f.Servers[0].Reconfigure(user(`, permissions: { publish: { deny: "scout.scout.log" } }`)))
	f.areCutOff(from)
	must(t, f.Servers[0].Reconfigure(user("")))
	f.awaitAll(from, "caught up")
	write(t, scouts[0].dir, "made with permission")
	f.agree(scouts...)
	f.never("log rebuilt")
}

// The log has an entry of a kind that this version does not know. Scoutmasters
// stand aside: they say so, serve nobody, and stay.
func TestFleetUnknownEntry(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 2)
	stream, err := f.jetStream(0).Stream(t.Context(), streamName)
	must(t, err)
	last, err := stream.GetLastMsgForSubject(t.Context(), "scout.scout.log")
	must(t, err)
	var tick scoutv1.LogEntry
	must(t, proto.Unmarshal(last.Data[8:], &tick))
	if tick.GetTick() == nil {
		t.Fatalf("the last entry of an idle fleet is %v", &tick)
	}
	from := f.logged()
	js := f.jetStream(0)
	within(t, patience, func() error {
		tick.Serial++
		tick.Body = nil
		message, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 8), &tick)
		must(t, err)
		binary.LittleEndian.PutUint64(message, xxhash.Sum64(message[8:]))
		_, err = js.Publish(t.Context(), "scout.scout.log", message)
		must(t, err)
		if err := f.masters[0].isReady(); err == nil {
			return errors.New("it is ready")
		}
		return nil
	})
	for i, m := range f.masters {
		if e := awaitFrom(t, m.Process, from[i], "cut off"); !strings.Contains(e.Text("reason"), "a kind that this version does not know") {
			t.Errorf("%v", e)
		}
		if err := m.isReady(); err == nil || m.Ended() {
			t.Errorf("%s is ready, or has ended", f.Name(i))
		}
	}
}
