// Package listing keeps one sorted list of the files of all sources. A reader gets
// an immutable version of the list, without a lock.
//
// It knows names and their origins. It must not know which scouts are live, nor how
// the list is served.
package listing
