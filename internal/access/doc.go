// Package access decides who may come in: certificates, tokens, and the policy
// of who may show what.
//
// It knows credentials, names and patterns, and how they travel over TLS, gRPC
// and HTTP. It knows nothing of what a session says, of disks, or of the list.
package access
