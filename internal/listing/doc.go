// Package listing keeps the one sorted list of what all sources show, and lets
// each reader have it as it is at one moment, without a lock.
//
// It knows names and whose they are. It must not know who is live, nor how the
// list is served.
package listing
