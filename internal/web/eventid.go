package web

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"scout/internal/listing"
)

// eventID says which list a reader has that has read all events up to one: that
// of a revision, in one life of the scoutmaster. Between two events of a moment
// the reader lacks, beside what came, what had gone by a later revision.
type eventID struct {
	epoch, revision uint64
	gone            uint64 // that later revision, or 0
}

var errNoEventID = errors.New("is not the id of an event; take it as it is from an event, or leave it out")

// parseEventID reads what String makes.
func parseEventID(s string) (id eventID, err error) {
	epoch, revisions, _ := strings.Cut(s, "-")
	revision, gone, between := strings.Cut(revisions, "-")
	if id.epoch, err = strconv.ParseUint(epoch, 16, 64); err != nil {
		return id, errNoEventID
	}
	if id.revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return id, errNoEventID
	}
	if between {
		id.gone, err = strconv.ParseUint(gone, 10, 64)
	}
	if err != nil || id.String() != s {
		return id, errNoEventID
	}
	return id, nil
}

// String returns the text of [listing.Version.Tag], and the later revision where
// there is one.
func (id eventID) String() string {
	v := listing.Version{Epoch: id.epoch, Revision: id.revision}
	if id.gone == 0 {
		return v.Tag()
	}
	return fmt.Sprintf("%s-%d", v.Tag(), id.gone)
}
