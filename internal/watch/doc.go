// Package watch claims a directory and keeps a [files.View] of it true.
//
// The disk is the truth. An event says only which name in which directory to
// examine: what is there is read. The whole directory is listed first and shown;
// watches are set behind that, each followed by one look that finds what has
// changed since the listing.
//
// # Trees
//
// Each mount has a [tree] and a goroutine that makes all calls to its file
// system, so that one that hangs or crawls holds up nothing else. The [forest]
// plants and uproots trees as the table of mounts says. It makes no call that
// can hang. It sets aside a tree whose file system does not answer within a
// second: the files stay listed, the View says that it is incomplete, and the
// tree goes on by itself when the call returns. All trees change one Set, in
// [forest.apply].
//
//	watcher.go    what the rest of the program sees
//	forest.go     the trees of the watched directory, and the View of all
//	mounts.go     the table of mounts, and kinds of file systems
//	loop.go       the goroutine of a tree: events, poll, rescans
//	watches.go    which directories are watched, and which are to be
//	tree.go       what a tree knows
//	directory.go  one directory, and how much its stamp proves
//	scan.go       lists a tree for the first time
//	verify.go     finds what has changed in a directory
//	changes.go    gathers changes and makes them known
//	events.go     which names to examine, as events tell
//	notifier*.go  the library that tells them, and generations of its watches
//	recovery.go   what to do when events were lost
//	disk_*.go     calls to the system
//	claim*.go     no two scouts on one directory
//
// # What is verified when
//
// A look at a directory that has not changed is one stat. How much an unchanged
// stamp proves is its [trust]: on file systems that are not known to give each
// change a new time it proves nothing, and the directory is listed.
//
//	poll      directories that are not watched; of the others a few, in turn,
//	          within 1 % of one core
//	recovery  all, for as long as events may have been lost
//	rescan    all, because somebody waits for an answer
//
// The package knows nothing of sessions, masters or HTTP.
package watch
