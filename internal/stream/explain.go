package stream

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/dial"
)

var (
	errRefused   = errors.New("registration refused")
	errHeld      = fmt.Errorf("%w", errRefused) // by a live scout
	errNoAnswer  = errors.New("no answer")
	errNoWelcome = errors.New("it answers, but not with a Welcome that makes sense")
	errTiming    = errors.New("its Welcome makes no sense")
	errEnded     = errors.New("the master ended the call")
)

// explain returns one line about a failed registration, with the cause and the
// remedy. It wraps errRefused if a scoutmaster has answered and rejects the scout, and
// errHeld if that is because a live scout holds the origin.
func explain(master string, err error) error {
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("scoutmaster at %s: %w (check the address, and that no firewall is between)", master, err)
	}
	if errors.Is(err, errTiming) {
		return fmt.Errorf("scoutmaster at %s: %w (correct its -heartbeat and -deadline)", master, err)
	}
	why := plain(err)
	if strings.HasPrefix(why, notServing) {
		return fmt.Errorf("scoutmaster at %s: %s (start this scout again when it is back)", master, why)
	}
	switch status.Code(err) {
	case codes.AlreadyExists:
		return fmt.Errorf("%w by the scoutmaster at %s: %s (stop that scout, or give this one a host name of its own)", errHeld, master, why)
	case codes.InvalidArgument, codes.FailedPrecondition, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated, codes.Aborted:
		return fmt.Errorf("%w by the scoutmaster at %s: %s", errRefused, master, why)
	case codes.Unavailable:
		return fmt.Errorf("scoutmaster at %s: %s (%s)", master, why, cure(why))
	default:
		return fmt.Errorf("no scoutmaster at %s: %s (is this its gRPC address?)", master, why)
	}
}

// unresolved returns one line about masters without a known address.
func unresolved(masters string, err error) error {
	if _, ok := errors.AsType[*dial.NameError](err); ok {
		return fmt.Errorf("scoutmaster at %s: %w (check the name and this machine's name servers, or give an IP address)", masters, err)
	}
	return fmt.Errorf("scoutmaster at %s: %w", masters, err)
}

// lost returns the reason why a session ended, in the master's words if there are
// any.
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return errors.New(plain(err))
}

// plain returns the text of err on one line, without the prefixes of grpc.
func plain(err error) string {
	text := status.Convert(err).Message()
	if _, desc, ok := strings.Cut(text, `connection error: desc = "`); ok {
		text = strings.TrimSuffix(desc, `"`)
	}
	text = strings.TrimPrefix(text, "transport: Error while dialing: ")
	text = strings.TrimPrefix(text, "transport: authentication handshake failed: ")
	text = strings.TrimPrefix(text, "error reading server preface: ")
	if strings.Contains(text, tooLong) {
		text = overlong
	}
	return oneLine(text, maxReason)
}

// cure returns a remedy for a failed connection. It depends on the text of the error,
// because TLS has no error types for alerts of the other side.
func cure(why string) string {
	for _, c := range cures {
		if strings.Contains(why, c.says) {
			return c.cure
		}
	}
	return "is it running, and is this its gRPC address?"
}

// cures has the alerts of the other side first, because their text contains the text
// of errors about the other side.
var cures = []struct{ says, cure string }{
	{"the proxy of HTTPS_PROXY: ", "name the scoutmaster in NO_PROXY if it can be reached without the proxy"},
	{"remote error: tls: certificate required", "give this scout a certificate with -tls-cert and -tls-key"},
	{"remote error: tls: unknown certificate authority", "give a certificate of an authority in the scoutmaster's -tls-client-ca"},
	{"remote error: tls: bad certificate", "give a certificate of an authority in the scoutmaster's -tls-client-ca, for client authentication"},
	{"remote error: tls: expired certificate", "renew this scout's certificate, or set the scoutmaster's clock"},
	{"remote error: tls: unsupported certificate", "give a certificate for client authentication"},
	{"signed by unknown authority", "give the authority that signed the scoutmaster's certificate with -tls-ca"},
	{"certificate has expired", "renew the scoutmaster's certificate, or set this machine's clock"},
	{"certificate is valid for", "give one of those names with -tls-server-name, or a certificate for this one to the scoutmaster"},
	{"certificate is not valid for any names", "give the scoutmaster a certificate for this name"},
	{"doesn't contain any IP SANs", "connect by a name that the scoutmaster's certificate is for, or give it with -tls-server-name"},
	{"protocol version not supported", "TLS 1.3 is needed: let the proxy or server there allow it, or connect to the scoutmaster itself"},
	{"missing selected ALPN property", "what answers there does not speak HTTP/2 over TLS: let the proxy pass the connection through, or connect to the scoutmaster itself"},
	{"no application protocol", "what answers there does not speak HTTP/2 over TLS: let the proxy pass the connection through, or connect to the scoutmaster itself"},
	{"EOF", "does it want TLS, as with -tls-ca, and is this its gRPC address?"},
	{"does not look like a TLS handshake", "the scoutmaster there has no TLS: start it with -tls-cert and -tls-key, or leave out this scout's -tls flags"},
}
