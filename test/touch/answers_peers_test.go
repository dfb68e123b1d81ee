//go:build peers && unix

package touch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
	"github.com/trapline/trapline/test/touch"
)

// unlike are the touches that we answer otherwise than Apache when no rule has a say, each with the reason.
func unlike() map[string]string {
	return map[string]string{
		"HTTP/3.0 in the clear": "we close: who names such a version may go on in it",
		"HTTP/2 preface only":   "this Apache has no mod_http2; those that have one answer as we do",
		"binary over 64 KiB":    "Apache reads 8 KiB of anything as a request line; we close without a word",
		"CONNECT":               "we close: what a client sends after CONNECT is for the host behind the proxy that we are not",
	}
}

// TestAnswersLookLikeApaches: without rules a trap answers every touch as the Apache does that it pretends to be.
func TestAnswersLookLikeApaches(t *testing.T) {
	apache, ours := bareApache(t), bareTrap(t)
	var wg sync.WaitGroup
	for i, k := range touch.Kinds() {
		if k.Act != nil || k.Close {
			continue
		}
		wg.Go(func() {
			want, got := shape(apache.answer(t, &k, i)), shape(ours.answer(t, &k, i))
			reason, known := unlike()[k.Name]
			switch {
			case want == got && known:
				t.Errorf("%s: no difference any more: %s", k.Name, reason)
			case want != got && !known:
				t.Errorf("%s (%.60q):\n Apache:   %s\n Trapline: %s", k.Name, k.Bytes, want, got)
			}
		})
	}
	wg.Wait()
}

// shape is the status line and the header names of an answer, in order.
func shape(answer []byte) string {
	head, body, ok := strings.Cut(string(answer), "\r\n\r\n")
	if !ok {
		if len(answer) > 0 {
			return "body only"
		}
		return "nothing"
	}
	lines := strings.Split(head, "\r\n")
	out := lines[0]
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		switch name {
		case "Last-Modified", "ETag", "Accept-Ranges": // of the file, which is not the same one
			continue
		case "Connection", "Content-Type", "Server":
			name += ":" + value
		}
		out += " | " + name
	}
	if len(body) > 0 {
		out += " + body"
	}
	return out
}

func (s server) answer(t *testing.T, k *touch.Kind, i int) []byte {
	c, err := s.dial(client(i), s.trap)
	if err != nil {
		t.Errorf("%s: %v", k.Name, err)
		return nil
	}
	defer c.Close()
	got, _ := k.Touch(c)
	return got
}

func bareApache(t *testing.T) server {
	port := peertest.Ports(t, 1)[0]
	peertest.StartApache(t, fmt.Sprintf("Listen 127.0.0.1:%d\nTraceEnable Off\nTimeout 3\nKeepAliveTimeout 1\n", port), fmt.Sprintf("127.0.0.1:%d", port))
	return server{trap: port}
}

func bareTrap(t *testing.T) server {
	ports := peertest.Ports(t, 2)
	dir := t.TempDir()
	root := filepath.Join(dir, "htdocs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("<p>the real site</p>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "trapline.conf")
	text := fmt.Sprintf("Listen 127.0.0.1:%d\nTrapConsole 127.0.0.1:%d\nTrapLimit request 2s\nTrapLimit connection 9s\nSecRuleEngine On\n"+
		"<VirtualHost *:%d>\nServerName localhost\nDocumentRoot %s\nTrapHost On\n</VirtualHost>\n", ports[0], ports[1], ports[0], root)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binarytest.Start(t, binarytest.Build(t), "run", "-c", conf, "--data", filepath.Join(dir, "data"))
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", ports[0]))
	return server{trap: ports[0]}
}
