// Package master knows which scouts are live, and shows in the list what each
// of them shows. It knows nothing of disks and HTTP, and of sessions only the
// interface that they call.
package master
