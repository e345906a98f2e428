package watch

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The library's goroutines serve all Watchers and live as long as the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/rjeczalik/notify.(*nonrecursiveTree).dispatch"),
		goleak.IgnoreAnyFunction("github.com/rjeczalik/notify.(*nonrecursiveTree).internal"),
		goleak.IgnoreAnyFunction("github.com/rjeczalik/notify.(*inotify).loop"),
		goleak.IgnoreAnyFunction("github.com/rjeczalik/notify.(*inotify).send"),
	)
}
