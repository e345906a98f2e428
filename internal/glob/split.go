package glob

// Split splits a list at its commas. A comma within brackets or braces, or behind
// a backslash, belongs to a pattern. Patterns may be empty.
func Split(list string) (patterns []string) {
	start, depth := 0, 0
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				patterns = append(patterns, list[start:i])
				start = i + 1
			}
		}
	}
	return append(patterns, list[start:])
}
