package web

import "strings"

// coding is how an answer is compressed.
type coding uint8

const (
	noCoding coding = iota // none is acceptable
	identity
	codingGzip
	codingZstd
	codingCount
)

const (
	unsaid = -1     // the weight of a coding that a client does not name
	least  = 0.0001 // less than any weight that is not 0
)

// codings are the codings' names in headers.
var codings = [codingCount]string{identity: "identity", codingGzip: "gzip", codingZstd: "zstd"}

func (c coding) String() string { return codings[c] }

// acceptedCoding returns the coding that the values of an Accept-Encoding header
// like best, or noCoding when none is acceptable. Of those liked alike it is the
// one that is cheapest for both: zstd, then gzip, then none.
func acceptedCoding(header []string) coding {
	weights, others := [codingCount]float64{unsaid, unsaid, unsaid, unsaid}, float64(unsaid)
	for _, e := range weigh(header) {
		if e.value == "*" {
			others = e.weight
		} else {
			weights[codingNamed(e.value)] = e.weight
		}
	}
	switch {
	case weights[identity] == 0:
		acceptOthers(&weights, others)
	case weights[identity] == unsaid && others == unsaid:
		weights[identity] = least
	case weights[identity] == unsaid:
		weights[identity] = others
	}
	best, liking := noCoding, 0.0
	for _, c := range []coding{codingZstd, codingGzip, identity} {
		if weights[c] > liking {
			best, liking = c, weights[c]
		}
	}
	return best
}

// acceptOthers gives the codings that are not named the weight of all others. Only
// a client that takes nothing plain gets what it does not name: who takes
// just anything may not know it.
func acceptOthers(weights *[codingCount]float64, others float64) {
	for c, weight := range weights {
		if weight == unsaid {
			weights[c] = others
		}
	}
}

func codingNamed(name string) coding {
	name = strings.TrimPrefix(name, "x-")
	for c := identity; c < codingCount; c++ {
		if codings[c] == name {
			return c
		}
	}
	return noCoding
}
