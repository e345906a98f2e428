package listing

import (
	"testing"

	"go.uber.org/goleak"
)

// What a test begins it ends.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
