//go:build oracle

package bodies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// compare reports each difference that no class excuses, and each class that nothing met. theirs is nil where the server answered before the rules.
func compare(t *testing.T, version, kind string, rs []request, theirs []view, engine ours) {
	t.Helper()
	met := map[string]int{}
	unanswered, shown := 0, 0
	for i, r := range rs {
		if theirs[i] == nil {
			unanswered++
			// httpd answers 500, also in DetectionOnly, when a body turns out to be malformed at its end: rules see the error here.
			if mine := engine.ask(r, nil); version == "2" && mine["REQBODY_ERROR"] != "1" {
				t.Errorf("%s %q: no rule ran there, and here all is well\n%.500q", r.name, r.contentType, r.body)
			}
			continue
		}
		mine, them := engine.ask(r, nil), maps.Clone(theirs[i])
		for _, d := range differences() {
			if !strings.Contains(d.kinds, kind) || !strings.Contains(d.versions, version) || maps.Equal(them, mine) {
				continue
			}
			if d.excuse(r, them, mine) {
				met[d.name]++
			}
		}
		if text := unlike(them, mine); text != "" && shown < 10 {
			shown++
			t.Errorf("%s %q\n%.2000q\n%s", r.name, r.contentType, r.body, text)
		}
	}
	for _, d := range differences() {
		if strings.Contains(d.kinds, kind) && strings.Contains(d.versions, version) && !d.rare && met[d.name] == 0 {
			t.Errorf("no body shows the difference %q any more: %s", d.name, d.reason)
		}
	}
	t.Logf("%d bodies, %d answered before the rules run; differences %v", len(rs), unanswered, met)
	if unanswered > len(rs)*2/3 {
		t.Errorf("too few bodies reach the rules")
	}
}

// unlike lists the variables that differ.
func unlike(theirs, mine view) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(mine)) {
		if theirs[k] != mine[k] {
			fmt.Fprintf(&b, "  %s: theirs %.300q, ours %.300q\n", k, theirs[k], mine[k])
		}
	}
	return b.String()
}

// bodiesOf is how many of a kind are sent in a test.
const bodiesOf = 3000

// TestAgainstModSecurity2 sends hostile bodies of each kind to mod_security2 on Apache.
func TestAgainstModSecurity2(t *testing.T) {
	a, o := newApache(t, ""), newOurs(t, "")
	for kind := range makers() {
		t.Run(kind, func(t *testing.T) {
			rs := requests(kind, bodiesOf)
			theirs := make([]view, len(rs))
			for i := range rs {
				theirs[i] = a.ask(rs[i])
			}
			compare(t, "2", kind, rs, theirs, o)
		})
	}
}
