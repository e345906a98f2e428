// Package cli is what both programs' mains share: flags and the environment,
// the log, signals and exit codes. It knows nothing of files, streams or HTTP.
//
// A main declares a [Program] and hands it to [Main], which reads the command
// line, fills the targets of the flags, and runs the program until it is done
// or told to stop. Whatever is wrong ends as one line in the log.
package cli
