package listing

import "time"

const (
	mergeShare  = 8                // one in so many parts of the time may go into merges
	mergeCredit = 10 * time.Second // which calm ones may exceed by this
)

// pace keeps merging to a share of the time, however much comes and goes. A
// merge that is due while the Listing is busy waits for that share: the next
// would soon be due again. One in a calm is likely to be the last for long, so
// it need not wait, as long as there is credit.
type pace struct {
	credit time.Duration
	took   time.Duration // by the last merge
	ended  time.Time     // of the last merge
}

func newPace() *pace { return &pace{credit: mergeCredit, ended: time.Now()} }

// allows reports whether a merge may begin now.
func (p *pace) allows(calm bool) bool {
	rest := time.Since(p.ended)
	return rest >= mergeShare*p.took || calm && p.credit+rest/mergeShare > 0
}

// spend notes a merge that has ended now.
func (p *pace) spend(took time.Duration) {
	now := time.Now()
	p.credit = min(mergeCredit, p.credit+now.Sub(p.ended)/mergeShare) - took
	p.took, p.ended = took, now
}
