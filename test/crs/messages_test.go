//go:build peers

package crs

import (
	"regexp"
	"strings"
	"testing"
)

// compare compares messages one by one, in order. It counts those that differ
// without a reason and those that differ with one.
func compare(t *testing.T, name string, theirs, ours []string) (wrong, meant int) {
	if twice(theirs, ours) {
		return 0, len(theirs)
	}
	for i := range max(len(theirs), len(ours)) {
		var their, our string
		if i < len(theirs) {
			their = theirs[i]
		}
		if i < len(ours) {
			our = ours[i]
		}
		switch {
		case their == our:
		case alike(their, our):
			meant++
		default:
			t.Errorf("%s\tmessage %d\ntheirs %s\nours   %s", name, i, their, our)
			wrong++
		}
	}
	return wrong, meant
}

// twice reports whether a multiMatch rule matched another number of times:
// mod_security2 tries 930110 once more, because its t:cmdLine says that it
// changed what it did not change.
func twice(theirs, ours []string) bool {
	count := func(list []string, id string) (n int) {
		for _, m := range list {
			if strings.Contains(m, `[id "`+id+`"]`) {
				n++
			}
		}
		return n
	}
	if n := count(ours, "930110"); n > 0 && count(theirs, "930110") > n {
		return true
	}
	// Their libinjection finds something in another of the values that multiMatch tries.
	return count(theirs, "942100") != count(ours, "942100")
}

var (
	emptyData = regexp.MustCompile(` \[data ""\]`)
	dataField = regexp.MustCompile(` \[data "(.*?)"\]( \[|$)`)
)

// alike reports whether two messages differ only in what is meant to differ.
func alike(their, our string) bool {
	if strings.Contains(our, "json") && strings.Contains(their, "ARGS") || strings.Contains(our, "JSON parsing error") && strings.Contains(their, "JSON parsing error") {
		return true // values in JSON are named as in version 3, and yajl words its errors in another way
	}
	their = emptyData.ReplaceAllString(their, "") // a record does not keep logdata that expands to nothing
	td, od := dataField.FindStringSubmatch(their), dataField.FindStringSubmatch(our)
	if td != nil && od != nil && td[1] != od[1] {
		cut := strings.TrimSuffix(td[1], "...")
		switch {
		case cut != td[1] && strings.HasPrefix(cut, strings.TrimSuffix(od[1], "...")) && len(cut)-len(od[1]) < 4:
			// cut at the same length, theirs in the middle of an escape
		case strings.ReplaceAll(td[1], `\x5c`, "/") == od[1] && strings.Contains(their, `[id "930120"]`):
			// the normalisePathWin of mod_security2 leaves the second of two backslashes
		case strings.Contains(our, `[id "931131"]`):
			// phase 1 sees REQUEST_FILENAME before httpd has decoded it
		case strings.Contains(od[1], `\x00`) || strings.Contains(td[1], `\x00`):
			// C strings end at a NUL; what is behind it is lost, or is another variable's
		default:
			return false
		}
		their, our = strings.Replace(their, td[1], "", 1), strings.Replace(our, od[1], "", 1)
	}
	if strings.Contains(their, `"TX:rfi_parameter_ARGS:`) {
		their, our = strings.ReplaceAll(their, `\`, ""), strings.ReplaceAll(our, `\`, "") // a name that was a macro is escaped once more
	}
	// Their line ends at 1,023 bytes, in the middle of a tag.
	return their == our || len(their) > 900 && strings.HasPrefix(our, their) || strings.HasPrefix(our, strings.TrimRight(their, `"] `)) && len(their) > 400
}
