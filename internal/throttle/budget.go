package throttle

import "time"

// Budget limits work to a share of the time. Unused time is saved up to a
// maximum, so that rare work never waits. One goroutine may use it at a time.
// Make one with NewBudget.
type Budget struct {
	share   float64
	most    time.Duration // the largest credit
	credit  time.Duration // as of counted; negative after an overdraft
	counted time.Time
}

// NewBudget returns a Budget that allows work for a share of the time, above 0
// and at most 1, and starts with the largest credit.
func NewBudget(share float64, most time.Duration) *Budget {
	return &Budget{share: share, most: most, credit: most, counted: time.Now()}
}

// Credit returns for how long work may go on now. It is negative when work has
// exceeded the budget.
func (b *Budget) Credit() time.Duration {
	now := time.Now()
	b.credit = min(b.most, b.credit+time.Duration(float64(now.Sub(b.counted))*b.share))
	b.counted = now
	return b.credit
}

// Spend records that work took d, which may exceed the credit.
func (b *Budget) Spend(d time.Duration) {
	b.Credit()
	b.credit -= d
}

// Wait returns how long to wait until the credit is at least need, which is at
// most the largest credit; 0 when it is now.
func (b *Budget) Wait(need time.Duration) time.Duration {
	missing := need - b.Credit()
	if missing <= 0 {
		return 0
	}
	return time.Duration(float64(missing)/b.share) + 1
}
