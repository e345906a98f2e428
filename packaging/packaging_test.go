// Package packaging has the units, scripts and descriptions of the packages, and the
// images. `make packages-check` installs the packages; here is what needs no build.
package packaging

import (
	"os/exec"
	"strings"
	"testing"
)

// The versions of packages are in the order of the commits that they are built from.
func TestVersionsAreOrdered(t *testing.T) {
	var versions []string
	for _, v := range []struct{ described, seconds, want string }{
		{"abcdef0", "1764331680", "0.0.0+20251128120800.gabcdef0"},
		{"1234567", "1764331681", "0.0.0+20251128120801.g1234567"},
		{"v0.1.0-rc.1", "0", "0.1.0-rc.1"},
		{"v0.1.0-rc.1-2-gabcdef0", "0", "0.1.0-rc.1+2.gabcdef0"},
		{"v0.1.0", "0", "0.1.0"},
		{"v0.1.0-9-gabcdef0", "0", "0.1.0+9.gabcdef0"},
		{"v0.1.0-10-gabcdef0", "0", "0.1.0+10.gabcdef0"},
		{"v0.1.0-10-gabcdef0-dirty", "0", "0.1.0+10.gabcdef0.dirty"},
		{"v0.1.1", "0", "0.1.1"},
		{"v0.1.1-dirty", "0", "0.1.1+dirty"},
	} {
		command := exec.Command("../tools/package-version", v.described)
		command.Env = append(command.Environ(), "SOURCE_DATE_EPOCH="+v.seconds)
		out, err := command.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != v.want {
			t.Errorf("%s: %q, %v, not %q", v.described, got, err, v.want)
		}
		versions = append(versions, strings.Replace(v.want, "-", "~", 1)) // as nfpm writes it
	}
	t.Run("dpkg", func(t *testing.T) {
		less := func(a, b string) error { return exec.Command("dpkg", "--compare-versions", a+"-1", "lt", b+"-1").Run() }
		ordered(t, versions, "dpkg", less)
	})
	t.Run("rpm", func(t *testing.T) {
		less := func(a, b string) error {
			return exec.Command("rpm", "--eval", `%{lua: if rpm.vercmp("`+a+`", "`+b+`") >= 0 then error("not less") end}`).Run()
		}
		ordered(t, versions, "rpm", less)
	})
}

func ordered(t *testing.T, versions []string, tool string, less func(a, b string) error) {
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(err)
	}
	for i := range versions[1:] {
		if err := less(versions[i], versions[i+1]); err != nil {
			t.Errorf("%s is not before %s: %v", versions[i], versions[i+1], err)
		}
		if less(versions[i+1], versions[i]) == nil {
			t.Errorf("%s is before %s", versions[i+1], versions[i])
		}
	}
}
