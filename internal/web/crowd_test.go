package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

// However many begin to watch a long list at once, and as fast as it can be
// written, others have their turn: a scout whose beat had to wait for all of them
// would be taken for dead.
func TestCrowdStarvesNobody(t *testing.T) {
	const crowd, patience = 500, 2 * time.Second // in turns of 10 ms it would be 5 s
	l, _ := listingtest.Fleet(t, 10, 20_000, filestest.Same)
	h := NewHandler(l, nobody{l}, func() error { return nil }, Options{Watchers: crowd}, zap.NewNop())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range crowd {
		readers.Go(func() {
			for ctx.Err() == nil { // an answer ends with the list, for void cannot be flushed
				h.ServeHTTP(void{http.Header{}}, httptest.NewRequest(http.MethodGet, "/files?format=events", http.NoBody))
			}
		})
	}
	late := time.Duration(0)
	for range 3 {
		began := time.Now()
		time.Sleep(time.Millisecond)
		late = max(late, time.Since(began))
	}
	cancel()
	readers.Wait()
	if late > patience {
		t.Errorf("others waited for %s", late)
	}
	t.Logf("others waited for %s", late)
}
