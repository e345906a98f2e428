// Functions that are linked by name have no body. The compiler allows that in a
// package with assembly.
