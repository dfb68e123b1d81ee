package trap

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/wire"
)

// keptBuffer is the largest buffer that goes back into the pool.
const keptBuffer = 64 << 10

// exchange is one request and its answer, with all the buffers they need. They
// come from a pool when bytes are there and go back when they are recorded and sent.
type exchange struct {
	br  *bufio.Reader
	out []byte // the answer as it is sent

	keeper keeper // of the request body

	c      *conn
	host   *Host
	tx     *seclang.Transaction
	rec    audit.Record
	notes  []audit.Field
	answer answer
	stop   *seclang.Interruption
	opened bool // tx is to be closed
	closes bool // the answer says that the connection ends
}

func newExchange() *exchange {
	return &exchange{br: bufio.NewReaderSize(nil, 4096)}
}

func (t *Trap) take() *exchange { return t.pool.Get().(*exchange) }

func (t *Trap) release(x *exchange) {
	x.br.Reset(nil)
	if cap(x.out) > keptBuffer {
		x.out = nil
	}
	x.c = nil
	t.pool.Put(x)
}

// begin opens a transaction for what came at the time at.
func (x *exchange) begin(c *conn, h *Host, at time.Time) {
	x.c, x.host, x.stop, x.closes = c, h, nil, false
	x.notes = x.notes[:0]
	x.out = x.out[:0]
	x.answer.reset()
	x.keeper = keeper{budget: &c.trap.budget, limit: c.trap.limits.Body}
	x.rec = audit.Record{
		Time: at, Host: h.Name, Honeytrap: true,
		Peer: c.peer, Client: c.peer, Server: c.local, TLS: c.hello,
	}
	x.tx = h.Engine.NewTransaction(c.conn(h, at, c.hello))
	x.opened = true
}

// scratch is the buffer of the answer, as long as there is no answer.
func (x *exchange) scratch() []byte {
	if cap(x.out) < 4096 {
		x.out = make([]byte, 0, 4096)
	}
	return x.out[:cap(x.out)]
}

// done closes the transaction; it may be called twice.
func (x *exchange) done() {
	if x.opened {
		x.opened = false
		_ = x.tx.Close()
		x.tx = nil
		x.rec = audit.Record{}
		x.keeper.free()
	}
}

// head gives the request head to the rules and runs phase 1.
func (x *exchange) head(raw []byte) {
	x.rec.RequestHead, x.c.head = raw, raw
	x.tx.RequestHead(raw)
	x.stop = x.tx.RequestHeaders()
}

// body gives the body to the rules and runs phase 2. kept is what is recorded
// of it, size what came. After an interruption the body is recorded all the
// same: on a trap it is evidence.
func (x *exchange) body(kept []byte, size int64) {
	x.rec.RequestBody, x.rec.RequestBodySize = kept, size
	if x.stop == nil && len(kept) > 0 {
		_, x.stop = x.tx.WriteRequestBody(kept)
	}
	if x.stop == nil {
		x.stop = x.tx.RequestBody()
	}
}

// note adds a line of our own to the record's trailer.
func (x *exchange) note(name, value string) {
	x.notes = append(x.notes, audit.Field{Name: "Trap-Note", Value: name + ": " + value})
}

func (x *exchange) noteCount(name string, n int, value string) {
	x.note(name, strconv.Itoa(n)+" "+value)
}

// noteFaults says what was malformed, for readers who do not see it in the bytes at once.
func (x *exchange) noteFaults(faults []wire.Fault) {
	for _, f := range faults {
		x.note("malformed", string(f))
	}
}

// refuse makes the answer when the host's own handler has no say: the verdict of
// the rules comes first, then the status that Apache gives to what is malformed or over a
// limit (0: nothing is wrong), then 404 when there is no handler.
func (x *exchange) refuse(method, target string, status int) bool {
	a := &x.answer
	switch {
	case x.stop != nil:
		a.unsized = false
		a.interrupt(x.stop, method)
	case status != 0:
		a.page(status, method, "")
	case method == http.MethodOptions && target == "*":
		a.status = http.StatusOK // it asks about the server, not about a document
	case x.host.DocumentRoot == nil:
		a.page(http.StatusNotFound, method, "")
	default:
		return false
	}
	return true
}

// inspect runs phases 3 and 4 over the answer. Answers of an interruption are not inspected again.
func (x *exchange) inspect(proto, method string) {
	a := &x.answer
	if a.drop {
		return
	}
	x.tx.ResponseLine(a.status, proto)
	for i := range a.header {
		x.tx.AddResponseHeader(a.header[i].Name, a.header[i].Value)
	}
	if x.stop != nil {
		return
	}
	x.stop = x.tx.ResponseHeaders()
	kept := len(a.body)
	if x.stop == nil && len(a.body) > 0 && x.tx.WantsResponseBody() {
		kept, x.stop = x.tx.WriteResponseBody(a.body)
	}
	if x.stop == nil {
		x.stop = x.tx.ResponseBody()
	}
	if x.stop != nil {
		a.reset()
		a.interrupt(x.stop, method)
		return
	}
	if body, changed := x.tx.BodyToSend(); changed && !a.open {
		rest := a.body[kept:] // over SecResponseBodyLimit
		a.body = append(append(body, rest...), x.tx.AppendToSend()...)
	}
	if location, changed := x.tx.LocationToSend(); changed {
		for i := range a.header {
			if a.header[i].Name == "Location" {
				a.header[i].Value = location
			}
		}
	}
}

// settle finishes the transaction and returns when its record is durable.
// rules false leaves phase 5 and the tags out: nothing has been touched.
func (x *exchange) settle(ctx context.Context, rules bool) {
	var ticket collection.Ticket
	if x.host.Guardian != nil && x.rec.Kind == audit.KindHTTP {
		x.guard()
	}
	if rules {
		x.tx.Logging()
		ticket = x.tx.Commit()
	}
	x.tx.Fill(&x.rec)
	x.rec.Relevant = x.tx.AuditWanted(x.rec.Status)
	x.rec.Trailer = append(x.rec.Trailer, x.notes...)
	x.c.hand(ctx, x.host, &x.rec, ticket)
}

// guard makes the request's line for SecGuardianLog.
func (x *exchange) guard() {
	l := audit.Index(&x.rec, "", 0, "")
	l.ID, l.Session = x.tx.ID(), x.tx.SessionID()
	x.host.Guardian(&l, now().Sub(x.rec.Time), func(name string) (string, bool) {
		env := x.tx.Env()
		for i := len(env) - 1; i >= 0; i-- {
			if env[i].Name == name {
				return env[i].Value, true
			}
		}
		return "", false
	})
}

// pause delays an answer as the rule's action pause asks, but no longer than a request may take.
func (c *conn) pause(ctx context.Context, stop *seclang.Interruption) {
	if stop == nil || stop.Pause <= 0 {
		return
	}
	timer := time.NewTimer(min(stop.Pause, c.trap.limits.RequestTime))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
