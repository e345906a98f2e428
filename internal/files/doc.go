// Package files is the vocabulary that all packages share: the names in a directory
// ([Set]), the host and directory that they belong to ([Origin]), the current state
// of the directory ([View]), and a change ([Delta]).
//
// It knows nothing about disks, gRPC or HTTP.
package files
