package operator

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFuzzyHash(t *testing.T) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40)
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "%s line %d\n", strings.Repeat(string(rune('a'+i*7%26)), i%5), i%10)
	}
	one := b.String()
	two := one[:1000] + "a change in the middle" + one[1000:]
	h := spamSumOf(one)
	if h.compare(h) != 100 {
		t.Error("a hash is not like itself")
	}
	file := filepath.Join(t.TempDir(), "h")
	if err := os.WriteFile(file, fmt.Appendf(nil, "# own\n%d:%s:%s,\"f\"\n", h.block, h.first, h.second), 0o600); err != nil {
		t.Fatal(err)
	}
	o := must(t, "fuzzyHash", file+" 80", Env{})
	m := Result{Target: "REQUEST_BODY", Explain: true}
	if !o.Match(two, "", &m) || !strings.HasPrefix(m.Text, "Fuzzy hash of REQUEST_BODY matched with ") {
		t.Errorf("%+v", m)
	}
	if o.Match(text, "", &m) {
		t.Error("other text matches")
	}
}

// TestFuzzyHashAgainstSsdeep compares hashes and scores with the program ssdeep.
func TestFuzzyHashAgainstSsdeep(t *testing.T) {
	if _, err := exec.LookPath("ssdeep"); err != nil {
		t.Skip("SKIPPED: the program ssdeep is not installed")
	}
	r := rand.New(rand.NewPCG(3, 4))
	base := make([]byte, 200000)
	for i := range base {
		base[i] = "abcdefghij klmnop\n"[r.IntN(18)]
	}
	dir := t.TempDir()
	args := []string{"-b", "-d", "-a"}
	hashes := map[string]spamSum{}
	for i := range 60 {
		n := []int{10, 100, 1000, 5000, 30000, 150000}[i%6]
		data := append([]byte(nil), base[:n]...)
		for range r.IntN(20) {
			data[r.IntN(n)] = byte(r.IntN(256))
		}
		if i%3 == 0 {
			copy(data[n/2:], base[100000:])
		}
		name := fmt.Sprint("f", i)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, name))
		hashes[name] = spamSumOf(string(data))
		out, err := exec.Command("ssdeep", "-b", filepath.Join(dir, name)).Output()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		want, _, _ := strings.Cut(lines[len(lines)-1], ",")
		h := hashes[name]
		if got := fmt.Sprintf("%d:%s:%s", h.block, h.first, h.second); got != want || err != nil {
			t.Errorf("%d bytes: %s, ssdeep %s (%v)", n, got, want, err)
		}
	}
	out, err := exec.Command("ssdeep", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	pairs := 0
	for line := range strings.Lines(string(out)) { // f1 matches f0 (97)
		text, score, ok := strings.Cut(strings.TrimSpace(line), " (")
		a, b, ok2 := strings.Cut(text, " matches ")
		if !ok || !ok2 {
			continue
		}
		pairs++
		want, _ := strconv.Atoi(strings.TrimSuffix(score, ")"))
		if got := hashes[a].compare(hashes[b]); got != want {
			t.Errorf("%s and %s: %d, ssdeep %d", a, b, got, want)
		}
	}
	if pairs < 1000 {
		t.Errorf("only %d pairs in %q", pairs, out)
	}
}
