package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// event is an event that the programs log.
type event struct {
	messages string // several are separated by commas
	level    string // empty: info and above
	fields   string // separated by commas
	meaning  string
}

// masterEvents are the events of the scoutmaster.
var masterEvents = []event{
	{"serving", "", "grpc, http, heartbeat, deadline, version, fleet, name", "it listens at these addresses; fleet and name if it shares the list"},
	{"scout registered", "", "host, directory, session, version, address, identity", "a scout was accepted; identity is the name of its token or certificate"},
	{"registration refused", "", "host, directory, holder, address, withheld", "a live scout has the same host and directory"},
	{"registration refused", "", "host, directory, reason, identity, address, withheld", "the scout is not permitted, or exceeds a limit"},
	{"files synced", "", "host, directory, files, added, removed, revision, seconds, updates", "a snapshot or a change is visible; seconds since its first part arrived; with revision 1 and nothing added: the list has kept the files of a scout that has moved"},
	{"scout hidden", "", "host, directory, reason", "it cannot serve: it scans, its directory is gone …"},
	{"scout shown", "", "host, directory, reason", "it is listed again"},
	{"scout degraded, scout recovered", "", "host, directory, unreadable, polled, reason", "directories that it cannot read, or polls because it cannot watch them; why files may be missing"},
	{"scout dropped", "", "host, directory, reason, session", "`deregistered`, `stream broken`, `silent past deadline`, `replaced`, `protocol violation`, `limit exceeded`, `permission withdrawn`, `no room`, `scoutmaster stopping`"},
	{"limit exceeded", "", "host, directory, session, peer, limit, withheld", "a scout exceeded a limit; its stream has ended"},
	{"permission withdrawn", "", "host, directory, session, peer, reason, identity, withheld", "the token or rule of a scout is gone; its stream has ended"},
	{"peer refused", "", "listener, address, reason, refused", "a handshake failed, or one address has too many connections; at most once a second, with the number of refusals"},
	{"protocol violation", "", "host, directory, session, peer, rule, withheld", "a scout broke a rule; its stream has ended"},
	{"session refused", "", "host, directory, session, peer, reason, withheld", "a peer did not get as far as registering, or memory is short"},
	{"connections refused", "", "listener, refused, limit, raise", "more connections than open files allow; at most once a second, with the number of refusals"},
	{"copy differs", "", "host, directory, session, peer, copy, scout, withheld", "the copy is not what the scout has; a new snapshot follows"},
	{"client left", "debug", "remote, error", "a consumer disconnected during an answer"},
	{"watcher dropped", "debug", "remote, error", "a watching consumer accepts nothing any more"},
	{"watchers refused", "", "watchers", "more than `-watchers` consumers watch or wait; once, until one of them leaves"},
	{"scoutmaster joined", "", "name, url, version", "another scoutmaster shares the list"},
	{"scoutmaster lost", "", "name, reason", "another scoutmaster is silent past the deadline, or is stopping; its scouts move, and their files stay listed meanwhile"},
	{"cut off", "", "seconds, reason", "nothing comes through the log, or an entry that this version cannot read; this scoutmaster answers nothing until it has caught up"},
	{"behind", "", "seconds", "this scoutmaster lags behind the log by more than the deadline; it answers 503 until it keeps up again"},
	{"caught up", "", "revision, seconds", "this scoutmaster knows the list, at the start and after a time without; it is ready"},
	{"log not replicated", "", "replicas, reason", "the log has one copy, which is lost with its NATS server"},
	{"leaving not announced", "", "error", "the log did not answer while this scoutmaster stopped; the others notice at the deadline, and what has not moved is dropped at twice the deadline"},
	{"log rebuilt", "", "reason", "the log has lost its data or gone back in time, or lists differ again and again; a new epoch has begun, and scouts send their files again"},
	{"list differs", "", "name, position", "another scoutmaster had another list at one position; whoever differs from most others takes the state of another"},
	{"foreign message ignored", "", "position, bytes, withheld", "a message in the log is no entry of a scoutmaster; at most once a minute"},
	{"log entry not acknowledged", "", "error, withheld", "NATS did not confirm one of the entries that it is asked to confirm, one each second; entries that do not come through the log are written again; at most every 10 s"},
	{"log settings changed", "", "error, withheld", "somebody has changed the stream so that entries do not come through it any more; it has the settings again that it needs, or `error` says why not; at most every 10 s"},
	{"nats connection lost, nats error", "", "error, withheld", "a NATS server went away, or reported a fault; the connection is made again; at most once each 10 s for one error"},
	{"answer not sent", "debug", "error", "another scoutmaster asked and could not be answered"},
	{"requests cut off", "", "after", "requests that did not finish before the scoutmaster stopped"},
}

// scoutEvents are the events of the scout. All have host and directory too.
var scoutEvents = []event{
	{"directory claimed", "", "version", "no other scout on this machine watches it"},
	{"directory scanned", "", "files, seconds, mount", "the first scan, or the scan after the directory came back, is done; `mount` if it is that of a mount below the directory"},
	{"registered", "", "master, address, session, heartbeat, deadline", "the scoutmaster accepted the scout; address is what a name in -master stands for"},
	{"snapshot sent", "", "session, files, bytes, seconds, revision, withheld", "all files were sent; at most once a second, and always for the last one"},
	{"resync requested", "", "session, reason, withheld", "the copy of the scoutmaster differs; a snapshot follows, later if this happens repeatedly; at most every 10 s"},
	{"waiting for the scoutmaster", "", "session, master, awaited, seconds, withheld", "an `address` or a `welcome` has not come for 2 s, at most once a minute; or a `grant`, which admits the snapshot, for 10 s"},
	{"master lost", "", "master, session, reason", "the session ended; logged at once"},
	{"orphaned", "", "master, since, seconds, reason", "after 10 s without a scoutmaster, then each minute"},
	{"registration refused", "", "master, reason", "while it comes back; it tries again"},
	{"attempt failed", "debug", "master, error", "while it comes back"},
	{"watch limit reached", "", "path, raise", "once; the directories beyond the limit are polled"},
	{"watches unavailable", "", "path, error, raise", "once; directories that cannot be watched are polled"},
	{"directory not watched", "", "path, error", "once; it is polled"},
	{"directory unreadable", "", "path, error", "a subdirectory is skipped"},
	{"directory readable", "", "path", "it is listed again"},
	{"directory not looked at", "", "path, error", "once; descriptors or memory are short, and the next poll tries again"},
	{"names too long", "", "path, limit", "paths longer than a system call accepts are not listed"},
	{"file system does not answer", "", "path, type", "a mount is set aside: its last known files stay listed"},
	{"file system answers again", "", "path", "the mount is as fresh as the rest again"},
	{"directory unavailable", "", "error", "the directory itself cannot be served; the scout is hidden"},
	{"events lost", "", "", "the kernel's event queue overflowed; all directories are checked"},
	{"events caught up", "", "looks", "nothing is missing any more, after this many checks"},
	{"watches renewed", "debug", "", "watches and memory of directories that have left the tree were given back"},
	{"events lost again and again", "", "next_look", "the checks are spaced out, to bound their cost"},
	{"changes do not fit", "", "error", "a fault of the scout; it scans the directory again"},
}

// commonEvents are the events of both programs.
var commonEvents = []event{
	{"listening", "", "for, address", "`-metrics` or `-pprof` is served here"},
	{"credentials reloaded, credentials not reloaded", "", "files, reason", "a file changed; the new version, or the last valid one, is active"},
	{"secret readable by all", "", "file, mode, cure", "every user of this machine can read tokens or a key"},
	{"certificate expired", "", "file, expired, cure", "peers refuse the program's certificate"},
	{"stuck", "", "since", "the service manager will restart the program"},
	{"service manager unreachable", "", "error", "systemd was not told of the state"},
	{"memory limit unknown", "debug", "error", "the container's limit cannot be read"},
	{"stopping, stopping at once", "", "signal", "a first, a second signal"},
	{"stopped", "", "", "the program ends as told"},
	{"failed", "", "error", "the program ends with an error"},
	{"wrong usage", "", "error", "a flag or variable is wrong"},
	{"log lines dropped", "", "lines", "whoever reads the log was too slow; these lines are missing"},
	{"grpc, http, metrics", "", "detail, withheld", "a warning of a library"},
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ", ")
}

func TestLogs(t *testing.T) {
	for name, events := range map[string][]event{"scoutmaster log": masterEvents, "scout log": scoutEvents, "common log": commonEvents} {
		var rows [][]string
		for _, e := range events {
			msg := "`" + strings.ReplaceAll(e.messages, ", ", "`, `") + "`"
			if e.level != "" {
				msg += " (" + e.level + ")"
			}
			rows = append(rows, []string{msg, e.fields, e.meaning})
		}
		Section(t, root+"/docs/operations.md", name, Table([]string{"msg", "fields", "when"}, rows))
	}
}

// Scripts rely on messages and fields, so each of them is documented, and none
// that does not exist.
func TestEveryEventIsDocumented(t *testing.T) {
	all := slices.Concat(masterEvents, scoutEvents, commonEvents)
	literals, found := map[string]bool{}, 0
	for _, dir := range []string{"cmd/scout", "cmd/scoutmaster", "cmd/internal/cli", "cmd/internal/debughttp", "cmd/internal/logging", "cmd/internal/memory", "cmd/internal/netflags", "cmd/internal/signals", "cmd/internal/systemd", "internal"} {
		for _, c := range logCalls(t, filepath.Join(root, dir), literals) {
			found++
			var fields []string
			known := false
			for _, e := range all {
				if slices.Contains(list(e.messages), c.message) {
					known = true
					fields = append(append(fields, "host", "directory"), list(e.fields)...)
				}
			}
			if !known {
				t.Errorf("%s: event %q is not in the list of this test", c.at, c.message)
				continue
			}
			for _, field := range c.fields {
				if !slices.Contains(fields, field) {
					t.Errorf("%s: field %s of event %q is not in the list of this test", c.at, field, c.message)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d events were found in the code", found)
	}
	for _, e := range all {
		for _, message := range list(e.messages) {
			if !literals[message] {
				t.Errorf("event %q of the list of this test is nowhere in the code", message)
			}
		}
		for _, field := range list(e.fields) {
			if !literals[field] && field != "error" {
				t.Errorf("field %s of event %q is nowhere in the code", field, e.messages)
			}
		}
	}
}

// logCall is a call that logs a constant message.
type logCall struct {
	message string
	fields  []string
	at      token.Position
}

// logCalls finds the calls that log in the code below dir. It adds every string
// of the code to literals.
func logCalls(t *testing.T, dir string, literals map[string]bool) (all []logCall) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text, ok := constant(e); ok {
					literals[text] = true
				}
			}
			if message, fields, ok := logged(n); ok {
				all = append(all, logCall{message, fields, set.Position(n.Pos())})
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// logged returns what a call logs, if it is one that logs.
func logged(n ast.Node) (message string, fields []string, ok bool) {
	call, callee := callOf(n)
	if !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "warn"}, callee) {
		return "", nil, false
	}
	args := call.Args
	if callee == "Log" && len(args) > 0 {
		args = args[1:]
	}
	if len(args) == 0 {
		return "", nil, false
	}
	if message, ok = constant(args[0]); !ok {
		return "", nil, false
	}
	for _, arg := range args[1:] {
		fields = append(fields, fieldOf(arg)...)
	}
	return message, fields, true
}

// fieldOf returns the name of the field that a call of zap makes, which is not
// empty.
func fieldOf(arg ast.Expr) []string {
	call, callee := callOf(arg)
	if call == nil || len(call.Args) == 0 {
		return nil
	}
	if name, ok := constant(call.Args[0]); ok && name != "" {
		return []string{name}
	}
	if callee == "Error" {
		return []string{"error"}
	}
	return nil
}

// callOf returns a call of a method or of a package's function, and its name.
func callOf(n ast.Node) (*ast.CallExpr, string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil, ""
	}
	if callee, ok := call.Fun.(*ast.SelectorExpr); ok {
		return call, callee.Sel.Name
	}
	return call, ""
}

func constant(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
