package web

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"scout/internal/files"
)

// jsonObject appends an object in compact JSON, on one line.
type jsonObject struct {
	buf  []byte
	some bool
}

func newJSONObject(p []byte) *jsonObject { return &jsonObject{buf: append(p, '{')} }

func (o *jsonObject) end() []byte { return append(o.buf, '}') }

// key begins a member. Its name stands for itself in JSON.
func (o *jsonObject) key(name string) {
	if o.some {
		o.buf = append(o.buf, ',')
	}
	o.some = true
	o.buf = append(append(append(o.buf, '"'), name...), '"', ':')
}

func (o *jsonObject) text(name, value string) {
	o.key(name)
	o.buf = append(appendJSONText(append(o.buf, '"'), []byte(value)), '"')
}

func (o *jsonObject) number(name string, value uint64) {
	o.key(name)
	o.buf = strconv.AppendUint(o.buf, value, 10)
}

func (o *jsonObject) seconds(name string, value time.Duration) {
	o.key(name)
	o.buf = strconv.AppendFloat(o.buf, value.Seconds(), 'f', -1, 64)
}

func (o *jsonObject) time(name string, value time.Time) {
	o.text(name, value.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// origin says whose files something is about, as entries do.
func (o *jsonObject) origin(of files.Origin) {
	o.text("host", of.Host)
	o.text("directory", of.Directory)
	if !utf8.ValidString(of.Directory) {
		o.text("directory_base64", base64.StdEncoding.EncodeToString([]byte(of.Directory)))
	}
}

// appendLines appends an array, one element a line.
func appendLines[E any](p []byte, elements []E, add func([]byte, E) []byte) []byte {
	p = append(p, '[')
	for i, e := range elements {
		if i > 0 {
			p = append(p, ',')
		}
		p = add(append(p, '\n'), e)
	}
	if len(elements) > 0 {
		p = append(p, '\n')
	}
	return append(p, ']')
}
