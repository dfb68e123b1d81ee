//go:build oracle

package bodies

import (
	"fmt"
	"strings"
	"testing"
)

const countLimits = "SecRequestBodyJsonDepthLimit 5\nSecArgumentsLimit 5\nSecUploadFileLimit 5\n"

// counts are bodies below, at and above limits of 5.
func counts() []request {
	const form, mp = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
	var out []request
	json := func(name, text string) {
		out = append(out, request{name, "application/json", "JSON", text})
	}
	for _, n := range []int{4, 5, 6, 20} {
		each := func(one func(i int) string, sep string) string {
			var all []string
			for i := range n {
				all = append(all, one(i))
			}
			return strings.Join(all, sep)
		}
		json(fmt.Sprintf("%d arrays", n), strings.Repeat("[", n)+"1"+strings.Repeat("]", n))
		json(fmt.Sprintf("%d empty arrays", n), strings.Repeat("[", n)+strings.Repeat("]", n))
		json(fmt.Sprintf("%d objects", n), strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n))
		json(fmt.Sprintf("%d values", n), "["+each(func(i int) string { return fmt.Sprint(i) }, ",")+"]")
		json(fmt.Sprintf("%d members", n), "{"+each(func(i int) string { return fmt.Sprintf(`"k%d":%d`, i, i) }, ",")+"}")
		out = append(out, request{fmt.Sprintf("%d fields", n), form, "", each(func(i int) string { return fmt.Sprintf("a=%d", i) }, "&")},
			request{fmt.Sprintf("%d parts", n), mp, "", each(func(i int) string {
				return fmt.Sprintf("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n%d\r\n", i)
			}, "") + "--B--\r\n"},
			request{fmt.Sprintf("%d files", n), mp, "", each(func(i int) string {
				return fmt.Sprintf("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n%d\r\n", i)
			}, "") + "--B--\r\n"})
	}
	return out
}

// counted are the variables that limits of numbers show in.
func counted() []string {
	return []string{"ARGS", "FILES", "FILES_SIZES", "REQBODY_ERROR", "MULTIPART_STRICT_ERROR", "MULTIPART_FILE_LIMIT_EXCEEDED"}
}

// TestCountsAgainstModSecurity2 goes over SecArgumentsLimit, SecRequestBodyJsonDepthLimit and SecUploadFileLimit.
func TestCountsAgainstModSecurity2(t *testing.T) {
	a, o := newApache(t, countLimits), newOurs(t, countLimits)
	for _, r := range counts() {
		theirs, mine := a.ask(r), o.ask(r, nil)
		if strings.HasSuffix(r.name, " objects") {
			forget(theirs, mine, "ARGS", "REQBODY_ERROR") // version 2 counts arrays only; objects count as in version 3
		}
		countsAlike(t, r, theirs, mine)
	}
}

func countsAlike(t *testing.T, r request, theirs, mine view) {
	t.Helper()
	for _, v := range counted() {
		if theirs[v] != mine[v] {
			t.Errorf("%s: %s theirs %q, ours %q", r.name, v, theirs[v], mine[v])
		}
	}
}
