// Package master knows which scouts are live, and shows in the list what each
// of them shows. It knows nothing of disks and HTTP, and of sessions only the
// interface that they call.
//
// A [Registry] lets one scout at a time hold an origin. The scout's session gets
// a member, whose phase each call changes as follows:
//
//	phase    Reset     Apply      Hide        Report     Leave
//	waiting  → shown   —          → hidden    is noted   → left
//	hidden   → shown   —          new reason  is noted   → left
//	shown    is shown  is shown   → hidden    is noted   → left
//	left     ignored   ignored    ignored     ignored    ignored
//
// A member waits until its scout's first snapshot has come. A session calls
// Apply only while its member is shown, or has been replaced, which is a way to
// have left: a message of the old session never touches its successor.
package master
