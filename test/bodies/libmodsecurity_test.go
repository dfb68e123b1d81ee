//go:build oracle && libmodsecurity

package bodies

import (
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/libmodsec"
)

// TestAgainstModSecurity3 gives hostile bodies of each kind to libmodsecurity 3.
func TestAgainstModSecurity3(t *testing.T) {
	o := newOurs(t, "")
	for kind := range makers() {
		t.Run(kind, func(t *testing.T) {
			rs := requests(kind, bodiesOf)
			compare(t, "3", kind, rs, askLibmodsecurity(t, rs), o)
		})
	}
}

func askLibmodsecurity(t *testing.T, rs []request) []view {
	t.Helper()
	return askLibmodsecurityWith(t, rs, "")
}

func askLibmodsecurityWith(t *testing.T, rs []request, extra string) []view {
	t.Helper()
	c := &libmodsec.Case{Rules: rules("log,msg:'LINE'") + extra}
	for _, r := range rs {
		q := libmodsec.Request{Method: "POST", Headers: [][2]string{{"Host", "localhost"}}}
		if r.contentType != "" {
			q.Headers = append(q.Headers, [2]string{"Content-Type", r.contentType})
		}
		if r.processor != "" {
			q.Headers = append(q.Headers, [2]string{"X-Processor", r.processor})
		}
		q.Headers = append(q.Headers, [2]string{"Content-Length", strconv.Itoa(len(r.body))})
		if r.body != "" {
			q.Body = []string{r.body}
		}
		c.Requests = append(c.Requests, q)
	}
	result, err := libmodsec.Theirs(c)
	if err != nil || result.Load != "" {
		t.Fatal(err, result.Load)
	}
	out := make([]view, len(rs))
	for i, a := range result.Answers {
		if rs[i].processor == "MULTIPART" {
			continue // version 3 does not know ctl:requestBodyProcessor=MULTIPART
		}
		for _, m := range a.Matches {
			if m.ID == 99 {
				out[i] = parseLine(strings.TrimSpace(m.Msg))
			}
		}
	}
	return out
}

// TestCountsAgainstModSecurity3 goes over SecArgumentsLimit and SecRequestBodyJsonDepthLimit.
func TestCountsAgainstModSecurity3(t *testing.T) {
	o := newOurs(t, countLimits)
	rs := counts()
	for i, theirs := range askLibmodsecurityWith(t, rs, countLimits) {
		r, mine := rs[i], o.ask(rs[i], nil)
		for k := range mine {
			if theirs[k] == "" && mine[k] == "0" {
				theirs[k] = "0"
			}
		}
		if strings.HasSuffix(r.name, " fields") || strings.HasSuffix(r.name, " parts") {
			forget(theirs, mine, "REQBODY_ERROR", "ARGS") // what is left out is an error, as in version 2: 3.0.9 drops fields in silence, and counts no parts
		}
		countsAlike(t, r, theirs, mine)
	}
}
