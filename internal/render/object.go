package render

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"scout/internal/files"
)

// Object appends an object in compact JSON, on one line. The names of its members
// must need no escaping.
type Object struct {
	buf  []byte
	some bool
}

// NewObject begins an object behind p.
func NewObject(p []byte) *Object { return &Object{buf: append(p, '{')} }

// End ends the object and returns all that was appended.
func (o *Object) End() []byte { return append(o.buf, '}') }

func (o *Object) key(name string) {
	if o.some {
		o.buf = append(o.buf, ',')
	}
	o.some = true
	o.buf = append(append(append(o.buf, '"'), name...), '"', ':')
}

// Text adds a string.
func (o *Object) Text(name, value string) {
	o.key(name)
	o.buf = append(appendJSONText(append(o.buf, '"'), []byte(value)), '"')
}

// Number adds a number.
func (o *Object) Number(name string, value uint64) {
	o.key(name)
	o.buf = strconv.AppendUint(o.buf, value, 10)
}

// Seconds adds a duration as a number of seconds.
func (o *Object) Seconds(name string, value time.Duration) {
	o.key(name)
	o.buf = strconv.AppendFloat(o.buf, value.Seconds(), 'f', -1, 64)
}

// Time adds a time to the millisecond.
func (o *Object) Time(name string, value time.Time) {
	o.Text(name, value.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// Origin adds the members that say whose files something is about.
func (o *Object) Origin(of files.Origin) {
	o.Text("host", of.Host)
	o.Text("directory", of.Directory)
	if !utf8.ValidString(of.Directory) {
		o.Text("directory_base64", base64.StdEncoding.EncodeToString([]byte(of.Directory)))
	}
}

// Value adds what add appends.
func (o *Object) Value(name string, add func(p []byte) []byte) {
	o.key(name)
	o.buf = add(o.buf)
}

// AddLines adds an array, one element a line.
func AddLines[E any](o *Object, name string, elements []E, add func(*Object, E)) {
	o.key(name)
	o.buf = AppendLines(o.buf, elements, add)
}

// AppendLines appends an array of objects, one a line.
func AppendLines[E any](p []byte, elements []E, add func(*Object, E)) []byte {
	p = append(p, '[')
	for i, e := range elements {
		if i > 0 {
			p = append(p, ',')
		}
		o := NewObject(append(p, '\n'))
		add(o, e)
		p = o.End()
	}
	if len(elements) > 0 {
		p = append(p, '\n')
	}
	return append(p, ']')
}
