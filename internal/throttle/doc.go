// Package throttle bounds repeated work: the share of time that it may take,
// and the log lines that it may write. It knows nothing of the work.
package throttle
