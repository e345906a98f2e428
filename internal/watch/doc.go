// Package watch claims a directory and keeps a [files.View] of it true.
//
// The disk is the truth and a notification is a hint: it says which name in
// which directory to look at, and what is there is read. A directory is watched
// before it is listed, so that nothing can happen between the two unseen. The
// poll is the same look at every directory, one stat for each that has not
// changed, and catches what no notification told.
//
// It knows nothing of sessions, masters or HTTP.
package watch
