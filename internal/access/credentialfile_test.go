package access

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"scout/internal/access/accesstest"
)

// number returns a credential file with one digit.
func number(t *testing.T, log *zap.Logger) (*credentialFile[byte], string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "number")
	must(t, os.WriteFile(file, []byte("1"), 0o600))
	s, err := openFile(log, func(contents [][]byte) (byte, error) {
		if len(contents[0]) != 1 {
			return 0, errors.New("that is no digit")
		}
		return contents[0][0], nil
	}, file)
	must(t, err)
	return s, file
}

// A credential file follows changes, logs each invalid version once, and keeps the
// last valid version.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logs := observed()
		s, file := number(t, log)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go keepFresh(ctx, []reloadable{s})

		expect := func(what string, want byte, reloaded, refused int) {
			t.Helper()
			time.Sleep(5 * checkInterval)
			synctest.Wait()
			if got := s.get(); got != want {
				t.Errorf("%s: it is %c, not %c", what, got, want)
			}
			if got := logs.FilterMessage("credentials reloaded").Len(); got != reloaded {
				t.Errorf("%s: reloaded %d times, not %d", what, got, reloaded)
			}
			if got := logs.FilterMessage("credentials not reloaded").Len(); got != refused {
				t.Errorf("%s: refused %d times, not %d", what, got, refused)
			}
		}
		expect("nothing has changed", '1', 0, 0)
		accesstest.Replace(t, file, []byte("2"))
		expect("replaced", '2', 1, 0)
		accesstest.Replace(t, file, []byte("no digit"))
		expect("broken", '2', 1, 1)
		must(t, os.Remove(file))
		expect("removed", '2', 1, 2)
		accesstest.Replace(t, file, []byte("3"))
		expect("back", '3', 2, 2)
		must(t, os.WriteFile(file, []byte("33"), 0o600))
		expect("written over", '3', 2, 3)
		must(t, os.WriteFile(file, []byte("4"), 0o600))
		expect("mended", '4', 3, 3)
	})
}

// A file that changes while it is read is read again.
func TestChangesWhileItIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "number")
	must(t, os.WriteFile(file, []byte("1"), 0o600))
	next := "2" // what the file says by the time that it was read
	s, err := openFile(zap.NewNop(), func(contents [][]byte) (string, error) {
		accesstest.Replace(t, file, []byte(next))
		return string(contents[0]), nil
	}, file)
	must(t, err)
	s.refresh()
	if got := s.get(); got != "2" {
		t.Errorf("it was %s when it was opened: it is %s", next, got)
	}
	next = "3"
	s.refresh()
	next = "4"
	s.refresh()
	if got := s.get(); got != "3" {
		t.Errorf("it became 3 while it was read: it is %s", got)
	}
}

// Kubernetes replaces the directory of a file through a link.
func TestReloadBehindLink(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, version, "file"), []byte(version), 0o600))
	}
	data := filepath.Join(dir, "data")
	must(t, os.Symlink("1", data))
	log, _ := observed()
	s, err := openFile(log, func(contents [][]byte) (string, error) { return string(contents[0]), nil }, filepath.Join(data, "file"))
	must(t, err)
	must(t, os.Symlink("2", data+".new"))
	must(t, os.Rename(data+".new", data))
	s.refresh()
	if s.get() != "2" {
		t.Errorf("it is %q", s.get())
	}
}

// An invalid file at the start is an error that names the file, cause and cure.
func TestWrongFiles(t *testing.T) {
	ca := accesstest.NewAuthority(t, "ca")
	pair, other := ca.Issue("localhost"), ca.Issue("localhost")
	empty := filepath.Join(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	for name, test := range map[string]struct {
		files Files
		want  []string
	}{
		"no certificate":      {Files{Cert: "/none", Key: pair.Key}, []string{"open /none:", "name a file that this user may read"}},
		"no key":              {Files{Cert: pair.Cert, Key: "/none"}, []string{"open /none:", "name a file"}},
		"another's key":       {Files{Cert: pair.Cert, Key: other.Key}, []string{pair.Cert, other.Key, "does not match", "give a PEM certificate"}},
		"an empty one":        {Files{Cert: empty, Key: pair.Key}, []string{empty, "failed to find any PEM data"}},
		"no authority":        {Files{ClientCA: empty}, []string{empty + ": there is no certificate in it: give"}},
		"no scout's token":    {Files{ScoutTokens: empty}, []string{empty + ": there is no token in it: write"}},
		"no consumer's token": {Files{HTTPTokens: empty}, []string{empty + ": there is no token in it: write"}},
		"no policy":           {Files{Policy: empty}, []string{empty + ": there is no rule in it"}},
	} {
		_, err := NewGate(test.files, zap.NewNop())
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, not %q", name, err, want)
			}
		}
	}
}

func TestSecretReadableByAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte("web:"+secretA), 0o600))
	log, logs := observed()
	warned := func() *observer.ObservedLogs { return logs.FilterMessage("secret readable by all") }
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1} {
		before := warned().Len()
		must(t, os.Chmod(file, mode))
		if _, err := NewGate(Files{ScoutTokens: file}, log); err != nil || warned().Len()-before != want {
			t.Errorf("mode %v: warned %d times, %v", mode, warned().Len()-before, err)
		}
	}
}

// A new version of a file may be readable by all although the old one was not: copies
// often are.
func TestSecretBecomesReadableByAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte("web:"+secretA), 0o600))
	log, logs := observed()
	s, err := openTokens(log, file)
	must(t, err)
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, []byte("web:"+secretA+"\nweb:"+secretB), 0o600))
	must(t, os.Chmod(file, 0o644))
	s.refresh()
	if warned := logs.FilterMessage("secret readable by all").Len(); warned != 1 {
		t.Errorf("warned %d times", warned)
	}
}

// A version that cannot be read is tried again until it can be, although nothing
// about it changes: it may withdraw a token. It is logged once.
func TestUnreadableIsTriedAgain(t *testing.T) {
	log, logs := observed()
	f, file := number(t, log)
	must(t, os.Remove(file))
	must(t, os.Symlink("loop", filepath.Join(filepath.Dir(file), "loop")))
	must(t, os.Symlink("loop", file))
	for range 3 {
		f.refresh()
	}
	if n := logs.FilterMessage("credentials not reloaded").Len(); n != 1 || f.get() != '1' {
		t.Errorf("logged %d times, the value is %c", n, f.get())
	}
	// The stamps of the readable version are known already.
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, []byte("2"), 0o600))
	f.stamps = stampsOf(f.paths)
	f.refresh()
	if f.get() != '2' {
		t.Errorf("the value is %c, want 2", f.get())
	}
}

// Mode and owner decide who may read a file, so they count as a change.
func TestModeCounts(t *testing.T) {
	log, logs := observed()
	f, file := number(t, log)
	must(t, os.Chmod(file, 0o640))
	f.refresh()
	if n := logs.FilterMessage("credentials reloaded").Len(); n != 1 {
		t.Errorf("reloaded %d times after a chmod, want 1", n)
	}
}

// Programs that copy files give the copy the time of the original. Tokens often
// have the same length.
func TestSameSizeAndTime(t *testing.T) {
	f, file := number(t, zap.NewNop())
	before, err := os.Stat(file)
	must(t, err)
	for f.stamps[0].Ctim == stampsOf(f.paths)[0].Ctim { // until the clock of the file system has moved
		must(t, os.WriteFile(file, []byte("2"), 0o600))
		must(t, os.Chtimes(file, before.ModTime(), before.ModTime()))
	}
	f.refresh()
	if f.get() != '2' {
		t.Errorf("the value is %c, want 2", f.get())
	}
}

// Reading a file does not change it.
func TestReadingIsNoChange(t *testing.T) {
	log, logs := observed()
	f, file := number(t, log)
	must(t, os.Chtimes(file, time.Now().Add(-48*time.Hour), time.Time{})) // a change; reading sets the time of access now
	f.refresh()
	f.refresh()
	if n := logs.FilterMessage("credentials reloaded").Len(); n != 1 {
		t.Errorf("reloaded %d times, want 1", n)
	}
}

func TestByteOrderMark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(file, []byte("\xef\xbb\xbfweb:"+secretA+"\r\n"), 0o600))
	if _, err := NewGate(Files{ScoutTokens: file}, zap.NewNop()); err != nil {
		t.Error(err)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	pair := accesstest.NewAuthority(t, "ca").Issue("localhost")
	cert, err := os.ReadFile(pair.Cert)
	must(t, err)
	for _, key := range []string{
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
	} {
		if _, err := parsePair("cert", "key")([][]byte{cert, []byte(key)}); err == nil || !strings.Contains(err.Error(), "openssl pkey") {
			t.Errorf("an encrypted key: %v", err)
		}
	}
}

func TestExpiredCertificate(t *testing.T) {
	ca := accesstest.NewAuthority(t, "ca")
	good, expired := ca.Issue("localhost"), ca.Issue("localhost", accesstest.Expired)
	for pair, want := range map[accesstest.Pair]int{good: 0, expired: 1} {
		log, logs := observed()
		if _, err := NewGate(Files{Cert: pair.Cert, Key: pair.Key}, log); err != nil {
			t.Fatal(err)
		}
		if n := logs.FilterMessage("certificate expired").Len(); n != want {
			t.Errorf("warned %d times, want %d", n, want)
		}
	}
}
