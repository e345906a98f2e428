// Package dial finds the scoutmasters that a scout may connect to, and connects
// to one of them: it resolves names, orders the addresses, and uses proxies. It
// knows nothing of sessions.
package dial
