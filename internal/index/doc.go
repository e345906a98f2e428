// Package index keeps very many sorted names in little memory, immutably.
//
// An [Index] is a list of entries, each a name and the number of its owner,
// in the order of the names' bytes. It never changes: [Index.Apply] makes a new
// one that shares all but the touched parts with the old, so a reader holds
// one consistent list for as long as it likes, and nobody locks.
//
// # Format
//
// Names are front-coded in blocks of about 128. A block is a run of entries,
//
//	uvarint shared   bytes in common with the name before, 0 in the first entry
//	uvarint rest     bytes that follow
//	byte[rest]
//	uvarint owner    only in a mixed block: one whose entries differ in owner
//
// and blocks hang in leaves of about 128, leaves in one slice. An entry costs
// some 14 bytes for a path of 47. Reading in order costs some 8 ns an entry,
// finding a name two binary searches and half a block, a change of one name a
// copy of its block, its leaf's block list and the list of leaves.
//
// The package knows nothing of files, scouts or wires.
package index
