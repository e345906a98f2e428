package stream

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errRefused   = errors.New("registration refused")
	errUnwanted  = errors.New("the master ended the session")
	errNoAnswer  = fmt.Errorf("no answer within %v", registerBound)
	errNoWelcome = errors.New("it answers, but not with a Welcome that makes sense")
	errEnded     = errors.New("the master ended the call")
	errFlooded   = errors.New("the master asks without waiting for answers")
)

// explain makes one line of why an attempt to register came to nothing: what
// is wrong, and what to do about it. It wraps errRefused when a scoutmaster
// has answered and does not want this scout.
func explain(master string, err error) error {
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("scoutmaster at %s: %w (check the address, and that no firewall is between)", master, err)
	}
	why := plain(err)
	if strings.HasPrefix(why, notServing) {
		return fmt.Errorf("scoutmaster at %s: %s (start this scout again when it is back)", master, why)
	}
	switch status.Code(err) {
	case codes.AlreadyExists:
		return fmt.Errorf("%w by the scoutmaster at %s: %s (stop that scout, or give this one a host name of its own)", errRefused, master, why)
	case codes.InvalidArgument, codes.FailedPrecondition, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated, codes.Aborted:
		return fmt.Errorf("%w by the scoutmaster at %s: %s", errRefused, master, why)
	case codes.Unavailable:
		return fmt.Errorf("scoutmaster at %s: %s (%s)", master, why, cure(why))
	default:
		return fmt.Errorf("no scoutmaster at %s: %s (is this its gRPC address?)", master, why)
	}
}

// lost is why a session ended, in the words of the master where it said some.
// It wraps errRefused when the master does not want what the scout shows.
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("%w: %s", errUnwanted, plain(err))
	}
	return errors.New(plain(err))
}

// plain is the text of err without grpc's wrapping and jargon, on one line.
func plain(err error) string {
	text := status.Convert(err).Message()
	if _, desc, ok := strings.Cut(text, `connection error: desc = "`); ok {
		text = strings.TrimSuffix(desc, `"`)
	}
	text = strings.TrimPrefix(text, "transport: Error while dialing: ")
	text = strings.TrimPrefix(text, "transport: authentication handshake failed: ")
	text = strings.TrimPrefix(text, "error reading server preface: ")
	switch {
	case strings.HasSuffix(text, "produced zero addresses"):
		text = "the name has no address"
	case strings.Contains(text, tooLong):
		text = overlong
	}
	return oneLine(text, maxReason)
}
