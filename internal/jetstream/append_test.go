package jetstream

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/jetstream/natstest"
)

// The servers acknowledge few entries. All of them are in the log.
func TestFewAcknowledgements(t *testing.T) {
	const entries = 1000
	o := Options{Fleet: "f", Name: "m", Bytes: 1 << 20, Log: zap.NewNop(), URLs: []string{natstest.Start(t, 1)[0].URL()}}
	writer, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	reader, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	log, err := reader.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began, before := time.Now(), writer.nats.Stats().InMsgs
	for range entries {
		if err := writer.Append([]byte("entry")); err != nil {
			t.Fatal(err)
		}
	}
	var came atomic.Int32
	reader.Follow(ctx, log.Made, log.Last+1, func(some []Entry) error {
		if came.Add(int32(len(some))) == entries {
			cancel()
		}
		return nil
	})
	if came.Load() != entries {
		t.Errorf("%d of %d entries are in the log", came.Load(), entries)
	}
	acknowledged := writer.nats.Stats().InMsgs - before
	if most := 1 + uint64(time.Since(began)/acknowledgeEvery); acknowledged == 0 || acknowledged > most {
		t.Errorf("%d entries were acknowledged, want 1 to %d", acknowledged, most)
	}
}
