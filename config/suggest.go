package config

import (
	"iter"
	"maps"
	"strings"
)

func (f *findings) unknownVariable(name string, keys map[string]string) {
	from := Origin{Layer: LayerEnv, Place: name}
	f.addFrom(from, name, "unknown variable%s", suggestion(strings.ToUpper(name), maps.Keys(keys)))
}

// suggestion asks whether the nearest known name was meant, when one is near: a third of the
// letters may differ.
func suggestion(name string, known iter.Seq[string]) string {
	const lengthMax = 100 // no key is longer, and the effort grows with the length
	if len(name) > lengthMax {
		return ""
	}
	nearest, least := "", len(name)/3+1
	for candidate := range known {
		d := distance(name, candidate)
		if d < least || d == least && nearest != "" && candidate < nearest {
			nearest, least = candidate, d
		}
	}
	if nearest == "" {
		return ""
	}
	return "; did you mean " + nearest + "?"
}

// distance is the number of letters to insert, drop or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
