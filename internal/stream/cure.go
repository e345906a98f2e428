package stream

import "strings"

// cure is what may help when no connection comes about, by what the error says.
// TLS has no types for what the other side complains of.
func cure(why string) string {
	for _, c := range cures {
		if strings.Contains(why, c.says) {
			return c.cure
		}
	}
	return "is it running, and is this its gRPC address?"
}

// What the other side complains of comes first: its words contain those of a
// complaint about it.
var cures = []struct{ says, cure string }{
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
	{"EOF", "does it want TLS, as with -tls-ca, and is this its gRPC address?"},
	{"does not look like a TLS handshake", "the scoutmaster there has no TLS: start it with -tls-cert and -tls-key, or leave out this scout's -tls flags"},
}
