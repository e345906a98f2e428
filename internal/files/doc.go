// Package files is the vocabulary that every part of Scout speaks: which names
// a directory holds ([Set]), whose they are ([Origin]), what is known of them now
// ([View]) and what changed ([Delta]).
//
// It knows nothing of disks, wires or HTTP.
package files
