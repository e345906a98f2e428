// Package master knows which scouts are live, what each of them shows, and the
// one sorted list of it all, which it serves over HTTP.
//
// The [Registry] lets sessions in and out. The [Listing] holds what they show as
// an immutable version that each request reads without a lock. It knows
// nothing of disks, and of sessions only the interface that they call.
package master
