package history

import "time"

// Bounds are what is promised, in time. They are generous: the judge looks for
// what is wrong, not for what is slow.
type Bounds struct {
	Heartbeat time.Duration `json:"heartbeat"`
	Deadline  time.Duration `json:"deadline"`

	// Fresh is how long a change may take to be listed while nothing is wrong.
	Fresh time.Duration `json:"fresh"`
	// Late is the same while a scout's connection is slow, or its directories
	// are polled for want of watches.
	Late time.Duration `json:"late"`
	// Break is how long what belongs to a broken connection may be listed.
	Break time.Duration `json:"break"`
	// Slack is how long after deadline and heartbeat have passed what belongs to
	// somebody silent may be listed.
	Slack time.Duration `json:"slack"`
	// Recovery is how long it may take after a fault until all is as if it had
	// never been: the longest pause between two attempts to register (5 s), an
	// attempt that was under way, a scan and a snapshot.
	Recovery time.Duration `json:"recovery"`
	// Answer is how long the master may take to answer.
	Answer time.Duration `json:"answer"`
}

// Usual returns the bounds for a master with these settings, on a machine that
// is so many times as slow as a quiet one of its own.
func Usual(heartbeat, deadline time.Duration, scale float64) Bounds {
	slow := func(d time.Duration) time.Duration { return time.Duration(float64(d) * scale) }
	return Bounds{
		Heartbeat: heartbeat,
		Deadline:  deadline,
		Fresh:     slow(2 * time.Second),
		Late:      slow(6 * time.Second),
		Break:     slow(time.Second),
		Slack:     slow(time.Second),
		Recovery:  slow(8 * time.Second),
		Answer:    slow(5 * time.Second),
	}
}

// silence is how long what belongs to somebody silent may be listed.
func (b Bounds) silence() time.Duration { return b.Deadline + b.Heartbeat + b.Slack }
