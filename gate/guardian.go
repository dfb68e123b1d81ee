package gate

import (
	"time"

	"github.com/trapline/trapline/audit"
)

// Guardian gets a line for every request of which the rules know, when its answer has been sent and before phase 5 as in
// mod_security2 (SecGuardianLog). env looks up a variable that SetEnvIf or a rule has set. It must not block, and not
// keep l or env.
type Guardian func(l *audit.IndexLine, took time.Duration, env func(name string) (value string, ok bool))

// guard makes the line of a request.
func (x *exchange) guard(write Guardian) {
	head := x.raw
	if head == nil {
		head = headOf(x.r)
	}
	r := audit.Record{
		Kind: audit.KindHTTP, Host: x.site.Host.Name, Time: x.began, Client: x.client, RequestHead: head,
		Status: x.status, ResponseBodySize: x.size, ID: x.transactionID, SessionID: x.tx.SessionID(),
	}
	l := audit.Index(&r, "", 0, "")
	write(&l, x.gate.now().Sub(x.began), x.getenv)
}
