// Command chaos looks for histories that Scout promises not to make. It runs
// the real programs over real directories, does random things to files,
// processes and connections, records what consumers see, and has every list
// judged by package history against what was true when.
//
// It knows what a user can see and what an operator can do. It must not know
// how the programs are built.
package main
