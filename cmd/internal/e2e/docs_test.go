//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The page that says which test shows what names tests that there are, in the
// packages that it says.
func TestReliabilityPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reliability.md")
	must(t, err)
	named := regexp.MustCompile("(e2e|watch|stream|scoutmaster|web) (`Test[^;|(]*)").FindAllSubmatch(page, -1)
	if len(named) < 40 {
		t.Fatalf("the page names the tests of %d cells", len(named))
	}
	where := map[string]string{
		"e2e": ".", "watch": "../../../internal/watch", "stream": "../../../internal/stream",
		"web": "../../../internal/web", "scoutmaster": "../../scoutmaster",
	}
	for _, cell := range named {
		for _, name := range regexp.MustCompile("Test[A-Za-z]+").FindAllString(string(cell[2]), -1) {
			out, err := exec.Command("grep", "-rh", "^func "+name+"(", where[string(cell[1])]).Output()
			if err != nil || !strings.HasPrefix(string(out), "func "+name) {
				t.Errorf("there is no %s in %s", name, cell[1])
			}
		}
	}
}
