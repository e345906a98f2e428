package render

import "scout/internal/files"

// EventStyle is how events are put on the wire. Each event is one JSON object on
// one line, in which whatever would end a line is escaped. Its methods append to
// p.
type EventStyle struct {
	begin     func(p []byte, kind, id string) []byte // up to the first entry
	end       string                                 // behind the last entry
	heartbeat func(p []byte, id string) []byte
}

// EventStream is the style of text/event-stream, as the HTML standard defines it.
var EventStream = EventStyle{
	begin: func(p []byte, kind, id string) []byte {
		return append(p, "event: "+kind+"\nid: "+id+"\ndata: "+jsonHead...)
	},
	end: "]}\n\n",
	// An id without data is no event, and yet a client resumes at it.
	heartbeat: func(p []byte, id string) []byte {
		return append(p, ": heartbeat\nid: "+id+"\n\n"...)
	},
}

// EventLines is the style of one line for each event.
var EventLines = EventStyle{
	begin: func(p []byte, kind, id string) []byte {
		return append(p, `{"event":"`+kind+`","id":"`+id+`","files":[`...)
	},
	end: "]}\n",
	heartbeat: func(p []byte, id string) []byte {
		return append(p, `{"event":"heartbeat","id":"`+id+"\"}\n"...)
	},
}

// Begin begins an event.
func (s *EventStyle) Begin(p []byte, kind, id string) []byte { return s.begin(p, kind, id) }

// Entry adds an entry to the event. Some says that the event has an entry.
func (s *EventStyle) Entry(p []byte, some bool, name []byte, o files.Origin) []byte {
	if some {
		p = append(p, ',')
	}
	p = append(p, jsonOpen...)
	p = appendJSONName(p, name)
	return appendJSONOrigin(p, o)
}

// End ends an event.
func (s *EventStyle) End(p []byte) []byte { return append(p, s.end...) }

// Heartbeat adds a sign of life, with the id to resume at.
func (s *EventStyle) Heartbeat(p []byte, id string) []byte { return s.heartbeat(p, id) }
