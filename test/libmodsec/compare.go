package libmodsec

import (
	"fmt"
	"slices"
	"strings"
)

// Outline is what of a result the two engines must agree on, one line each: that the rules load, and of each answer
// status, URL, the rules that logged, and the values under operators.
//
// Version 2 writes a message for each value that matched, version 3 one for the rule, with what the last value made of
// it: of several messages of a rule in a row the last counts here.
func (r *Result) Outline() []string {
	if r.Load != "" {
		return []string{"refused"}
	}
	var out []string
	for i, a := range r.Answers {
		out = append(out, fmt.Sprintf("answer %d: %d %s", i+1, a.Status, a.URL))
		for j, m := range a.Matches {
			if j+1 < len(a.Matches) && a.Matches[j+1].ID == m.ID {
				continue
			}
			tags := slices.Clone(m.Tags)
			for i := range tags {
				tags[i] = escaped(tags[i])
			}
			out = append(out, fmt.Sprintf("  match %d msg %q data %q severity %s ver %q rev %q tags %q", m.ID, logged(m.Msg), escaped(m.Data), severity(m.Severity), m.Ver, m.Rev, tags))
		}
		out = append(out, stepLines(a.Steps)...)
	}
	return out
}

// stepLines are the steps, those of one rule sorted: version 3 keeps collections in the order of a hash table.
func stepLines(steps []Step) []string {
	var out []string
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].Rule == steps[0].Rule {
			n++
		}
		lines := make([]string, n)
		for i, s := range steps[:n] {
			// Names of TX and of collections are kept in lower case there.
			s.Variable = strings.ToLower(s.Variable)
			lines[i] = "  step " + s.String()
		}
		slices.Sort(lines)
		out, steps = append(out, lines...), steps[n:]
	}
	return out
}

// severity is the number of a severity; version 3 writes the number, and 0 when there is none.
func severity(s string) string {
	names := []string{"EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}
	if i := slices.Index(names, strings.ToUpper(s)); i >= 0 {
		return fmt.Sprint(i)
	}
	if s == "" {
		return "0"
	}
	return s
}
