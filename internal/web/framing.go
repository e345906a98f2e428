package web

// framing is how events are put on the wire. Each is one JSON object in one
// line, in which whatever would end a line is escaped.
type framing struct {
	begin     func(p []byte, kind, id string) []byte // up to the first entry
	end       string                                 // behind the last
	heartbeat func(p []byte, id string) []byte
}

// eventStream is that of text/event-stream, as the HTML standard has it.
var eventStream = framing{
	begin: func(p []byte, kind, id string) []byte {
		return append(p, "event: "+kind+"\nid: "+id+"\ndata: "+jsonHead...)
	},
	end: "]}\n\n",
	// An id alone makes no event, and yet is the one that a client resumes at.
	heartbeat: func(p []byte, id string) []byte {
		return append(p, ": heartbeat\nid: "+id+"\n\n"...)
	},
}

// eventLines is that of a line for each event.
var eventLines = framing{
	begin: func(p []byte, kind, id string) []byte {
		return append(p, `{"event":"`+kind+`","id":"`+id+`","files":[`...)
	},
	end: "]}\n",
	heartbeat: func(p []byte, id string) []byte {
		return append(p, `{"event":"heartbeat","id":"`+id+"\"}\n"...)
	},
}
