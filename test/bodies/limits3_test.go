//go:build oracle && libmodsecurity

package bodies

import (
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/libmodsec"
)

func version3(t *testing.T, l limit, contentType, body, answer string, piece int) seen {
	t.Helper()
	c := &libmodsec.Case{Rules: strings.ReplaceAll(l.directives, "SecRequestBodyInMemoryLimit", "#") + processorRule + strings.ReplaceAll(strings.ReplaceAll(limitRules(), "nolog,setenv:'", "log,msg:'"), "nolog,t:length,setenv:'out=", "log,t:length,msg:'out=")}
	c.Rules = strings.ReplaceAll(c.Rules, "line=", "")
	c.Rules = strings.ReplaceAll(c.Rules, "out=", "")
	q := libmodsec.Request{Method: "POST", Headers: [][2]string{{"Host", "localhost"}, {"Content-Type", contentType}, {"Content-Length", strconv.Itoa(len(body))}}, ResponseHeaders: [][2]string{{"Content-Type", "text/plain"}}, ResponseBody: answer}
	for rest := body; rest != ""; {
		n := min(piece, len(rest))
		q.Body = append(q.Body, rest[:n])
		rest = rest[n:]
	}
	c.Requests = []libmodsec.Request{q}
	r, err := libmodsec.Theirs(c)
	if err != nil || r.Load != "" {
		t.Fatal(err, r.Load)
	}
	a := r.Answers[0]
	s := seen{status: a.Status, body: len(answer)}
	if s.status != 200 {
		s.body = 0
	}
	for _, m := range a.Matches {
		s.line += m.Msg + " "
	}
	return s
}

// meant3 are the differences from libmodsecurity 3 at limits.
func meant3(c limitCase, theirs, mine *seen) string {
	theirs.line = strings.NewReplacer("error ", "error0 ", "strict ", "strict0 ").Replace(theirs.line)
	over := c.n > 100
	cut := func() {
		theirs.line, _, _ = strings.Cut(theirs.line, "error")
		mine.line, _, _ = strings.Cut(mine.line, "error")
	}
	switch {
	case over && strings.HasPrefix(c.name, "body") && theirs.status == 200:
		cut()
		return "version 3 calls what its own limit cut malformed, and shows nothing of it; in version 2 what came is parsed"
	case over && strings.HasPrefix(c.name, "nofiles"):
		cut()
		return "version 3 shows nothing of a body over SecRequestBodyNoFilesLimit; rules see it here, and the error"
	case over && strings.HasPrefix(c.name, "response") && theirs.status == 200:
		theirs.line = strings.Replace(theirs.line, "body0", "body100", 1)
		return "version 3 inspects nothing of an answer over the limit that it may not refuse; version 2 inspects what fits"
	}
	return ""
}

// TestLimitsAgainstModSecurity3 goes to and over each limit.
func TestLimitsAgainstModSecurity3(t *testing.T) {
	reasons := map[string]int{}
	for _, c := range limitCases() {
		for _, piece := range []int{1 << 20, 7} {
			mine := oursLimit(t, c.limit, c.contentType, c.body, c.answer, piece)
			reasons[c.judge(t, "version 3", version3(t, c.limit, c.contentType, c.body, c.answer, piece), mine, meant3)]++
		}
	}
	t.Logf("%d cases; %v", len(limitCases()), reasons)
}
