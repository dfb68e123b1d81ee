package trap

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	touches "github.com/trapline/trapline/test/touch"
)

// TestEveryKindOfTouchTagsAndLeavesARecord sends each kind from an address of
// its own and then asks the real site from that address.
func TestEveryKindOfTouchTagsAndLeavesARecord(t *testing.T) {
	list := touches.Kinds()
	if len(list) < 53 {
		t.Fatalf("only %d kinds of touch", len(list))
	}
	s := open(t, options{limits: Limits{RequestTime: 700 * time.Millisecond, ConnTime: time.Second, KeepAlive: 50 * time.Millisecond, Quiet: 50 * time.Millisecond}})
	t.Run("kinds", func(t *testing.T) {
		for i, k := range list {
			t.Run(k.Name, func(t *testing.T) {
				t.Parallel()
				from := addr(i + 1)
				if s.tagged(from) {
					t.Fatal("tagged before the touch")
				}
				got, err := k.Touch(s.dial(t, from))
				if err != nil {
					t.Error(err)
				}
				records := s.wait(t, from, max(1, k.Records))
				if !s.tagged(from) {
					t.Error("the next request on the real site gets through")
				}
				check(t, &k, records, got)
			})
		}
	})
	s.stop()
	total := 0
	for i, k := range list {
		n := len(s.all(addr(i + 1)))
		if total += n; n != max(1, k.Records) {
			t.Errorf("%s: %d records in the end, want %d", k.Name, n, max(1, k.Records))
		}
	}
	if st := s.trap.Stats(); st.Accepted != uint64(len(list)) || st.HTTP+st.TLS+st.Bytes+st.Connects != uint64(total) || st.Open != 0 || st.Panics+st.Unrecorded != 0 {
		t.Errorf("%d kinds, %d records, stats %+v", len(list), total, st)
	}
}

// check compares a record with what the touch was.
func check(t *testing.T, k *touches.Kind, records []*audit.Record, got []byte) {
	t.Helper()
	if len(records) != max(1, k.Records) {
		t.Errorf("%d records, want %d", len(records), max(1, k.Records))
	}
	r := records[0]
	if r.Kind != k.Kind {
		t.Errorf("kind %d, want %d", r.Kind, k.Kind)
	}
	if !r.Honeytrap || r.ID == "" || r.Time.IsZero() || !r.Server.IsValid() || r.Peer != r.Client {
		t.Errorf("record incomplete: %+v", r)
	}
	want := k.Head
	if want == "" {
		want = strings.TrimRight(strings.Split(k.Bytes, "\r\n\r\n")[0], "\r\n")
		if k.Kind != audit.KindHTTP {
			want = k.Bytes
		}
	}
	if !bytes.HasPrefix(r.RequestHead, []byte(want)) {
		t.Errorf("RequestHead begins %.80q, want %.80q", r.RequestHead, want)
	}
	if k.Status >= 0 && r.Status != k.Status {
		t.Errorf("status %d, want %d", r.Status, k.Status)
	}
	if !ruleMatched(r, 999004) {
		t.Errorf("rule 999004 is not in the record: %+v", r.Matches)
	}
	if got == nil || k.Status <= 0 {
		return
	}
	if first := strings.HasPrefix(string(got), fmt.Sprintf("HTTP/1.1 %d ", k.Status)); !first && k.Name != "HTTP/0.9" {
		t.Errorf("answer %.100q, want status %d", got, k.Status)
	}
	if !bytes.HasPrefix(got, r.ResponseHead) {
		t.Errorf("recorded answer %q is not what was sent: %q", r.ResponseHead, got)
	}
}

func ruleMatched(r *audit.Record, id int) bool {
	for _, m := range r.Matches {
		if m.ID == id {
			return true
		}
	}
	return false
}
