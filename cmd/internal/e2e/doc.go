// Package e2e proves the two programs together: real binaries on real
// directories, real signals, and find as the judge of what must be listed. It
// knows what a user can see, and must not know how the programs are built.
package e2e
