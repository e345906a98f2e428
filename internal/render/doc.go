// Package render writes the entries of a list in a format: JSON, lines of JSON,
// paths as text or with NUL, and events. It compresses what it writes, and caches
// what it rendered. It knows nothing of HTTP.
//
// A list that nothing is left out of is rendered leaf by leaf of the merged
// index. Each leaf becomes a segment, compressed or not, and the segments together
// are one stream. A segment is valid for as long as its leaf, so an answer costs
// the rendering of the leaves that have changed. Of a list that does not fit the
// cache uncompressed, the beginning is cached and the rest rendered for each answer.
package render
