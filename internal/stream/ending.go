package stream

import (
	"errors"
	"fmt"
	"strings"
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

// notServing begins the text of a master that takes no scouts now.
const notServing = "NOT_SERVING"

var errStopping = &ending{LeftStopping, codes.Unavailable, notServing + ": the scoutmaster is stopping"}

// violation says which rule of the protocol the scout broke.
func violation(format string, args ...any) error {
	return &ending{LeftViolation, codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

func silent(deadline time.Duration) error {
	return &ending{LeftSilent, codes.DeadlineExceeded, fmt.Sprintf("the scout was silent past the deadline of %v", deadline)}
}

// noCapacity says why the master cannot take in more now.
func noCapacity(why error) error {
	return &ending{LeftNoRoom, codes.ResourceExhausted, "the scoutmaster has no room: " + oneLine(why.Error(), maxReason)}
}

func evicted(reason string) error {
	return &ending{LeftReplaced, codes.Aborted, reason}
}

// denied is the ending that an error of the Authorizer amounts to; nil for none.
func denied(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	code := s.Code()
	if code == codes.Unknown {
		code = codes.PermissionDenied
	}
	return &ending{LeftDenied, code, oneLine(s.Message(), maxReason)}
}

// tooLong is what grpc says of a message that is longer than may be.
const tooLong = "message larger than max"

// overlong replaces it: the limit is part of the protocol.
const overlong = "the scout has sent a message larger than max: its program does not follow the protocol"

// broken returns the ending that an error of Recv amounts to. When a message
// cannot be decoded, grpc has ended the call itself, in words of its own.
func broken(err error) error {
	switch code, text := status.Code(err), status.Convert(err).Message(); {
	case code == codes.ResourceExhausted && strings.Contains(text, tooLong):
		return &ending{LeftExceeded, code, overlong}
	case code == codes.Internal, code == codes.ResourceExhausted:
		return violation("%s", text)
	default:
		return err
	}
}

// endingOf returns the ending in err. Any other error comes from a wire that
// broke, so the scout is not told.
func endingOf(err error) *ending {
	if err == nil {
		return &ending{left: LeftDeregistered, code: codes.OK}
	}
	if e, ok := errors.AsType[*ending](err); ok {
		return e
	}
	return &ending{LeftBroken, codes.Canceled, err.Error()}
}

// refusalOf returns how a session ends that was not registered.
func refusalOf(err error) *ending {
	if held, ok := errors.AsType[*HeldError](err); ok {
		return &ending{RefusedHeld, codes.AlreadyExists, held.Error()}
	}
	return endingOf(err)
}
