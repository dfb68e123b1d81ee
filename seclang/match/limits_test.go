package match

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// hostile are patterns and values that take for ever where nothing bounds them.
func hostile() [][2]string {
	a := strings.Repeat("a", 10000)
	return [][2]string{
		{`(?=(a+)+$)(a+)+$`, a + "!"},
		{`(?=.)(a*)*b(?!c)`, a},
		{`(?:(\w)\1?)*(?=!)x?$`, a + "!!"},
		{`(.*)\1\1x?(?<=!)`, a},
		{`(?:a|b|ab)*(?<!a)(?=c)`, strings.Repeat("ab", 5000)},
		{`^(?:(?=a)a|(?=aa)aa)+$(?<!a)`, a},
		{`(?<=(a))(?:.*a){12}(?!a).`, a},
		{`(a?){40}(?=a{40})\1b`, strings.Repeat("a", 200)},
		{`(a(?1)?a?)(?=b)`, a},
		{`(?:a(?R)?a|a)(?=b)`, a},
		{`(?:a*?(?=a))*b`, a},
		{`(?>(?:a|aa)+?)+(?=b)b`, a},
		{`(?:(?=(a*))a)*?\1!`, a},
		{`(a|a?(?=b)|(?!b)a)*c(?=d)`, a},
		{`\X*\X*\X*\X*(?=\x00)`, a},
		{`(*COMMIT)?(?:a*a*)*(*SKIP)b`, a},
		{`(?i)(\w+)\1{2,}(?!\w)z`, strings.Repeat("aA", 5000)},
	}
}

// TestSteps: whatever a client sends, a match comes to its end after MaxSteps, and that is soon.
func TestSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	for _, c := range hostile() {
		re, err := Compile(c[0], Options{})
		if err != nil {
			t.Fatal(err)
		}
		re.filter, re.guards = nil, nil // which would say no at once
		start := time.Now()
		_, err = re.MatchString(c[1])
		took := time.Since(start)
		t.Logf("%-40s %8v %v", c[0], took.Round(time.Millisecond), err)
		if err != nil && !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", c[0], err)
		}
		if took > 5*time.Second { // with the race detector on a busy machine; alone it is a thirtieth
			t.Errorf("%s took %v", c[0], took)
		}
	}
}
