// Package access controls access to a scoutmaster: certificates, tokens, the policy
// for hosts and directories, and limits on connections.
//
// It knows credentials, names and patterns, and how they travel over TLS, gRPC and
// HTTP. It does not know the content of sessions, disks, or the list.
package access
