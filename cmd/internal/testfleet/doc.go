// Package testfleet is the rig of the end-to-end tests, the fault injector, the
// benchmark and the demo. It starts the real programs as processes and reads
// their logs, asks for their list as any consumer would, and plays scouts: each
// speaks the real protocol and shows the names that it was given, and thousands
// of them fit in a process.
//
// It knows what a user of the programs sees and what an operator does. It must
// not know what is tested or measured with it.
package testfleet
