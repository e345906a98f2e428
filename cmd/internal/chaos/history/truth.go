package history

import (
	"slices"
	"time"
)

// timeline is the history of one name. Between two changes its state is certain.
type timeline []change

// change is the event that a name appeared or disappeared, at some time between begin
// and end.
type change struct {
	operation  int
	begin, end time.Duration
	present    bool
}

// present reports whether the name exists after all changes.
func (t timeline) present() bool { return len(t) > 0 && t[len(t)-1].present }

// finish notes the end of an operation.
func (t timeline) finish(operation int, at time.Duration) {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].operation == operation {
			t[i].end = at
		}
	}
}

// until returns the earliest and the latest time at which the i-th change is undone.
func (t timeline) until(i int) (earliest, latest time.Duration) {
	if i+1 == len(t) {
		return Forever, Forever
	}
	return t[i+1].begin, t[i+1].end
}

// possibly reports whether the name may have existed at any time between from and to.
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

// surely reports whether the name certainly existed at all times between from and to.
func (t timeline) surely(from, to time.Duration) bool {
	for i, c := range slices.Backward(t) {
		if c.end <= from {
			earliest, _ := t.until(i)
			return c.present && earliest > to
		}
	}
	return false
}
