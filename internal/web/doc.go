// Package web serves the list over HTTP. It renders a version of the list
// straight from its blocks, and keeps what it made of those that stay the same.
// It must not know sessions or disks.
package web
