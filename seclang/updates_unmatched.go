package seclang

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// unmatched warns of updates that mean no rule: mod_security2 says nothing, and the user believes that a rule is off.
func (c *compiler) unmatched() {
	for i := range c.updates {
		u := &c.updates[i]
		c.at = u.dir
		switch {
		case len(u.ids) > 0:
			c.unmatchedIDs(u)
		case u.used:
		case u.tag != nil:
			c.warn(fmt.Sprintf("%s %s: no rule has such a tag%s", u.dir.Name, clip(u.dir.Args[0], 60), meant(u.dir.Args[0], c.texts, "tag")))
		case u.msg != nil:
			c.warn(fmt.Sprintf("%s %s: no rule has such a msg%s", u.dir.Name, clip(u.dir.Args[0], 60), meant(u.dir.Args[0], c.texts, "msg")))
		}
	}
}

// unmatchedIDs looks at each id and range of an update by itself: of a list of ten, one may be mistyped.
func (c *compiler) unmatchedIDs(u *update) {
	var ids []int
	for _, r := range c.texts {
		if n := r.id(); n > 0 {
			ids = append(ids, n)
		}
	}
	for _, want := range u.ids {
		if slices.ContainsFunc(ids, want.has) {
			continue
		}
		what := "no rule has the id " + strconv.Itoa(want.lo)
		if want.hi != want.lo {
			what = fmt.Sprintf("no rule has an id from %d to %d", want.lo, want.hi)
		}
		near := ""
		if n := nearestID(want.lo, ids); n > 0 && want.hi == want.lo {
			near = fmt.Sprintf(": did you mean %d?", n)
		}
		c.warn(fmt.Sprintf("%s: %s%s", u.dir.Name, what, near))
	}
}

// nearestID is the id that looks most like want, or else is the nearest number, within ten; 0 when there is none.
func nearestID(want int, ids []int) int {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, strconv.Itoa(id))
	}
	text := strconv.Itoa(want)
	best, distanceTo := 0, 11
	for i, id := range ids {
		if distance(text, texts[i], 1) == 1 && len(text) > 2 {
			return id
		}
		if d := max(id-want, want-id); d < distanceTo {
			best, distanceTo = id, d
		}
	}
	return best
}

// meant names the nearest tag or msg of any rule, when the pattern is plain text.
func meant(pattern string, rules []*ruleText, action string) string {
	if regexp.QuoteMeta(pattern) != pattern && strings.ContainsAny(pattern, `^$()[]{}|*+?\`) {
		return ""
	}
	var among []string
	for _, r := range rules {
		for _, m := range append([]*ruleText{r}, r.chain...) {
			for _, a := range m.actions {
				if a.name == action {
					among = append(among, a.arg)
				}
			}
		}
	}
	if n := Nearest(pattern, among); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	return ""
}
