package seclang_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"

	"github.com/trapline/trapline/seclang"
)

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func brotlied(s string) string {
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// TestContentCoding: rules see an answer without its content coding, and what is sent stays as it came unless they change it.
func TestContentCoding(t *testing.T) {
	e := compile(t, seclang.Config{}, `SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecResponseBodyLimit 2000
SecResponseBodyLimitAction ProcessPartial
SecStreamOutBodyInspection On
SecRule OUTBOUND_DATA_ERROR "@eq 1" "id:1,phase:4,pass,nolog,setenv:cut=yes"
SecRule RESPONSE_BODY "@contains secret" "id:2,phase:4,pass,nolog,setenv:seen=yes"
SecRule STREAM_OUTPUT_BODY "@rsub s/4[0-9]{3}/CARD/" "id:3,phase:4,pass,nolog"
`)
	const plain, card = "<p>a secret</p>", "<p>a secret 4111</p>"
	zip := gzipped(plain)
	for name, tt := range map[string]struct {
		codings   []string
		body      string
		seen, cut bool
		sent      string // "" for the body as it came
	}{
		"none":                       {nil, plain, true, false, ""},
		"gzip":                       {[]string{"gzip"}, zip, true, false, ""},
		"br":                         {[]string{"br"}, brotlied(plain), true, false, ""},
		"a list":                     {[]string{"gzip, br"}, brotlied(zip), true, false, ""},
		"two headers":                {[]string{"gzip", "br"}, brotlied(zip), true, false, ""},
		"changed":                    {[]string{"gzip"}, gzipped(card), true, false, "<p>a secret CARD</p>"},
		"changed, in a list":         {[]string{"gzip", "br"}, brotlied(gzipped(card)), true, false, "<p>a secret CARD</p>"},
		"cut off is not changed":     {[]string{"gzip"}, gzipped(card + strings.Repeat("x", 500))[:45], true, false, ""},
		"unknown":                    {[]string{"compress"}, plain, true, false, ""},
		"says gzip and is none":      {[]string{"gzip"}, plain, true, false, ""},
		"secret behind the limit":    {[]string{"gzip"}, gzipped(strings.Repeat(" ", 3000) + "secret 4111"), false, true, ""},
		"secret before the limit":    {[]string{"br"}, brotlied("secret 4111" + strings.Repeat(" ", 3000)), true, true, ""},
		"a bomb, and not changed":    {[]string{"gzip", "br"}, brotlied(gzipped("secret 4111" + strings.Repeat("\x00", 10<<20))), true, true, ""},
		"many codings on each other": {[]string{strings.Repeat("gzip,", 50)}, "secret", true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tx := e.NewTransaction(conn("192.0.2.1", 80))
			defer tx.Close()
			tx.RequestHead([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			tx.RequestHeaders()
			tx.RequestBody()
			tx.ResponseLine(200, "HTTP/1.1")
			tx.AddResponseHeader("Content-Type", "text/html")
			for _, c := range tt.codings {
				tx.AddResponseHeader("Content-Encoding", c)
			}
			tx.ResponseHeaders()
			_, _ = tx.WriteResponseBody([]byte(tt.body))
			tx.ResponseBody()
			env := map[string]string{}
			for _, f := range tx.Env() {
				env[f.Name] = f.Value
			}
			sent, changed := tx.BodyToSend()
			if (env["seen"] == "yes") != tt.seen || (env["cut"] == "yes") != tt.cut || changed != (tt.sent != "") || changed && string(sent) != tt.sent || !changed && string(sent) != tt.body {
				t.Errorf("seen %q cut %q changed %v %.100q", env["seen"], env["cut"], changed, sent)
			}
		})
	}
}
