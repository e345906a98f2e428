package stream

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ending is the reason why the master ends a session, for the scout and for the
// log.
type ending struct {
	left LeaveReason
	code codes.Code
	text string
}

func (e *ending) Error() string { return e.text }

// GRPCStatus returns the status of the call. Package grpc calls it.
func (e *ending) GRPCStatus() *status.Status { return status.New(e.code, e.text) }

// notServing is the start of the text of a master that accepts no scouts.
const notServing = "NOT_SERVING"

var errStopping = dismissed("the scoutmaster is stopping")

// dismissed returns the ending of a scout that has to go to another scoutmaster.
func dismissed(reason string) error {
	return &ending{LeftStopping, codes.Unavailable, notServing + ": " + reason}
}

// violation returns an ending that says which rule of the protocol the scout broke.
func violation(format string, args ...any) error {
	return &ending{LeftViolation, codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

func silent(deadline time.Duration) error {
	return &ending{LeftSilent, codes.DeadlineExceeded, fmt.Sprintf("the scout was silent past the deadline of %v", deadline)}
}

// noCapacity returns an ending that says why the master has no capacity.
func noCapacity(why error) error {
	return &ending{LeftNoRoom, codes.ResourceExhausted, "the scoutmaster has no room: " + oneLine(why.Error(), maxReason)}
}

func evicted(reason string) error {
	return &ending{LeftReplaced, codes.Aborted, reason}
}

// denied returns the ending for an error of the Authorizer, or nil.
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

// tooLong is a part of grpc's error for a message above the size limit.
const tooLong = "message larger than max"

// overlong replaces that error, because the limit is part of the protocol.
const overlong = "the scout has sent a message larger than max: its program does not follow the protocol"

// broken returns the ending for an error of Recv. If a message cannot be decoded,
// grpc has already ended the call with its own text.
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

// endingOf returns the ending in err. Any other error means that the connection
// broke, so the scout does not receive it.
func endingOf(err error) *ending {
	if err == nil {
		return &ending{left: LeftDeregistered, code: codes.OK}
	}
	if e, ok := errors.AsType[*ending](err); ok {
		return e
	}
	return &ending{LeftBroken, codes.Canceled, err.Error()}
}

// refusalOf returns the ending of a session that was not registered.
func refusalOf(err error) *ending {
	if held, ok := errors.AsType[*HeldError](err); ok {
		return &ending{RefusedHeld, codes.AlreadyExists, held.Error()}
	}
	if unable, ok := errors.AsType[*NotServingError](err); ok {
		return endingOf(dismissed(unable.Reason))
	}
	return endingOf(err)
}
