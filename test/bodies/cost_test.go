//go:build oracle && unix

package bodies

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/trapline/trapline/test/peertest"
)

// TestCostBesideModSecurity2 sends half a MB of each hostile body to mod_security2 on Apache and 10 MB to this engine, and says what
// processor time both take for a MB.
func TestCostBesideModSecurity2(t *testing.T) {
	o := costEngine(t)
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	conf := "Listen " + addr + "\nLogLevel emerg\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nSecRequestBodyInMemoryLimit 100000000\n" + costRules + "<Directory {{dir}}/htdocs>\nRequire all granted\n</Directory>\n"
	server := peertest.StartApache(t, conf, addr)
	a := &apache{t, addr, httpClient(t)}
	a.c.Timeout = 10 * time.Second // some bodies take it minutes
	a.ask(request{contentType: "text/plain", body: "x"})
	worst, worstName := time.Duration(0), ""
	for _, name := range slices.Sorted(maps.Keys(hostile())) {
		r := hostile()[name](512 << 10)
		r.name = name
		before := server.CPU(t)
		a.ask(r)
		theirs := (server.CPU(t) - before) * 2
		mine := o.cost(hostile()[name](10<<20), 2) / 10
		if mine > worst {
			worst, worstName = mine, name
		}
		t.Logf("%-26s ours %8v per MB, mod_security2 and httpd %8v", name, mine.Round(10*time.Microsecond), theirs)
	}
	t.Logf("worst: %s, %v per MB", worstName, worst)
	if worst > 150*time.Millisecond {
		t.Errorf("%s takes %v per MB", worstName, worst)
	}
}
