package web

import (
	"errors"
	"strconv"
	"strings"

	"scout/internal/listing"
)

// eventID says which list a reader has that has read all events up to one: that
// of a revision, in one life of the scoutmaster.
type eventID struct{ epoch, revision uint64 }

var errNoEventID = errors.New("is not the id of an event; take it as it is from an event, or leave it out")

// parseEventID reads the text of [listing.Version.Tag].
func parseEventID(s string) (id eventID, err error) {
	epoch, revision, _ := strings.Cut(s, "-")
	if id.epoch, err = strconv.ParseUint(epoch, 16, 64); err != nil {
		return id, errNoEventID
	}
	if id.revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return id, errNoEventID
	}
	if id.String() != s {
		return id, errNoEventID
	}
	return id, nil
}

func (id eventID) String() string {
	v := listing.Version{Epoch: id.epoch, Revision: id.revision}
	return v.Tag()
}
