package web

import (
	"strconv"
	"strings"
)

// weighted is an element of a header such as Accept: what the client would
// take, and how much it likes that, from 0, not at all, to 1.
type weighted struct {
	value  string // in lower case, without parameters
	weight float64
}

// weigh reads the values of a header such as Accept, in the order in which they
// are given. Elements that make no sense are left out.
func weigh(header []string) (elements []weighted) {
	for element := range strings.SplitSeq(strings.Join(header, ","), ",") {
		value, parameters, _ := strings.Cut(element, ";")
		if value = strings.ToLower(strings.TrimSpace(value)); value == "" {
			continue
		}
		if weight := weightIn(parameters); weight >= 0 && weight <= 1 {
			elements = append(elements, weighted{value, weight})
		}
	}
	return elements
}

// weightIn returns the weight among an element's parameters, or -1 when it
// is not a number.
func weightIn(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return -1
			}
			return weight
		}
	}
	return 1
}
