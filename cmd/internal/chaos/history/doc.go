// Package history judges what consumers of a scoutmaster saw against what was
// true when. It is a pure function of the events it is given: it knows no
// clock, no process and no disk, so that a history that was recorded can be
// judged again, and one that was written by hand tests the judge.
//
// What is true is known up to the time that an operation or a fault took: it
// holds surely from the end of one to the beginning of the next, and possibly
// from the beginning to the end. The judge blames only what no moment within
// the bounds explains.
package history
