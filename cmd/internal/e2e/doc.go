// Package e2e tests the two programs together: real binaries, real directories, real
// signals, and find as the reference for the list. It knows what a user can observe, and
// must not know how the programs are built.
package e2e
