package cli

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// runAwkward makes the test binary the program of [awkward], for shells.
const runAwkward = "SCOUT_TEST_RUN_AWKWARD"

func TestMain(m *testing.M) {
	if os.Getenv(runAwkward) != "" {
		Main(awkward())
	}
	goleak.VerifyTestMain(m)
}
