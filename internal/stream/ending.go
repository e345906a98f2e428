package stream

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ending is why the master ends a session: what it tells the scout, and what
// it writes in its log. A nil ending is a scout that deregistered.
type ending struct {
	left LeaveReason
	code codes.Code
	text string
}

func (e *ending) Error() string { return e.text }

// GRPCStatus is how grpc learns which status the call ends with.
func (e *ending) GRPCStatus() *status.Status { return status.New(e.code, e.text) }

var (
	errStopping   = &ending{LeftStopping, codes.Unavailable, "NOT_SERVING: the scoutmaster is stopping"}
	errNotReading = &ending{LeftViolation, codes.InvalidArgument, "the scout asks without reading the answers"}
)

// violation says which rule of the protocol the scout broke.
func violation(format string, args ...any) error {
	return &ending{LeftViolation, codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

func silent(deadline time.Duration) error {
	return &ending{LeftSilent, codes.DeadlineExceeded, fmt.Sprintf("silent past the deadline of %v", deadline)}
}

func evicted(reason string) error {
	return &ending{LeftReplaced, codes.Aborted, reason}
}

// endingOf finds the ending in err. An error that is none comes from the wire,
// which broke: nobody is there to be told.
func endingOf(err error) *ending {
	if err == nil {
		return &ending{left: LeftDeregistered, code: codes.OK}
	}
	if e, ok := errors.AsType[*ending](err); ok {
		return e
	}
	return &ending{LeftBroken, codes.Canceled, err.Error()}
}

// refusalOf finds out how a session ends that was not registered.
func refusalOf(err error) *ending {
	if held, ok := errors.AsType[*HeldError](err); ok {
		return &ending{code: codes.AlreadyExists, text: held.Error()}
	}
	return endingOf(err)
}
