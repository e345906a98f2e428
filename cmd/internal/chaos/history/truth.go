package history

import (
	"slices"
	"time"
)

// timeline is when a name was there. Between two changes what the earlier one
// says holds for sure.
type timeline []change

// change is that a name came or went, at some time from begin to end.
type change struct {
	operation  int
	begin, end time.Duration
	present    bool
}

// present reports whether the name is there after all changes.
func (t timeline) present() bool { return len(t) > 0 && t[len(t)-1].present }

// finish notes that an operation is done.
func (t timeline) finish(operation int, at time.Duration) {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].operation == operation {
			t[i].end = at
		}
	}
}

// until is when the i-th change is undone at the earliest and at the latest.
func (t timeline) until(i int) (earliest, latest time.Duration) {
	if i+1 == len(t) {
		return Forever, Forever
	}
	return t[i+1].begin, t[i+1].end
}

// possibly reports whether the name may have been there at some time from from
// to to.
func (t timeline) possibly(from, to time.Duration) bool {
	for i, c := range slices.Backward(t) {
		_, latest := t.until(i)
		if latest < from {
			return false
		}
		if c.present && c.begin <= to {
			return true
		}
	}
	return false
}

// surely reports whether the name was there all the time from from to to.
func (t timeline) surely(from, to time.Duration) bool {
	for i, c := range slices.Backward(t) {
		if c.end <= from {
			earliest, _ := t.until(i)
			return c.present && earliest > to
		}
	}
	return false
}
