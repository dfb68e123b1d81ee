package gate

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/wire"
)

// queued is a record on its way to Handle.
type queued struct {
	site   *site
	record *audit.Record
	ticket collection.Ticket
}

// handleRecords hands on records until ctx ends, and then what still waits.
func (g *Gate) handleRecords(ctx context.Context) {
	for {
		select {
		case q := <-g.queue:
			g.handle(ctx, q)
		case <-ctx.Done():
			g.drainRecords(context.WithoutCancel(ctx))
			return
		}
	}
}

func (g *Gate) drainRecords(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		select {
		case q := <-g.queue:
			g.handle(ctx, q)
		default:
			return
		}
	}
}

func (g *Gate) handle(ctx context.Context, q queued) {
	g.stats.records.Add(1)
	defer g.waiting.Add(-bodyBytes(q.record))
	defer func() { g.contained("record", recover()) }()
	if err := q.site.Handle(ctx, q.record, q.ticket); err != nil {
		if n := g.stats.failed.Add(1); n&(n-1) == 0 { // a full disk fails every record: as countLost
			g.log.Error("record not written", "id", q.record.ID, "host", q.record.Host, "error", err, "failed", n)
		}
	}
}

// finish ends the transaction after its answer: phase 5, the record, the access log. head is the head as sent, nil when
// nobody saw it on the wire.
func (x *exchange) finish(head []byte) {
	if x.ended {
		return
	}
	x.ended = true
	if x.tx != nil {
		x.endTransaction(head)
	}
	for _, l := range x.site.logs {
		l.write(x)
	}
	if x.body != nil {
		x.body.close()
	}
	x.reset()
}

func (x *exchange) endTransaction(head []byte) {
	if !x.judged {
		x.tx.ResponseLine(x.status, x.r.Proto)
	}
	if write := x.site.guardian; write != nil {
		x.guard(write)
	}
	x.tx.Logging()
	ticket := x.tx.Commit()
	wanted := x.tx.AuditWanted(x.status)
	if x.site.Handle != nil && (wanted || x.site.Host.Honeytrap) { // of a decoy every touch is kept
		r := x.record(head)
		r.Relevant = wanted
		x.tx.Fill(r)
		x.gate.enqueue(queued{x.site, r, ticket})
	}
	if len(x.site.logs) > 0 {
		for _, e := range x.tx.Env() {
			x.env = append(x.env, envVar{e.Name, e.Value})
		}
	}
	if err := x.tx.Close(); err != nil {
		x.gate.log.Warn("transaction left files behind", "error", err)
	}
	x.tx = nil
}

// enqueue hands a record on. When those that wait hold too many bytes of bodies it goes without its own: clients choose
// how long these are, and a disk slower than they must not cost the site its memory.
func (g *Gate) enqueue(q queued) {
	n := bodyBytes(q.record)
	if g.waiting.Add(n) > maxWaitingBodies && n > 0 {
		g.waiting.Add(-n)
		n = 0
		r := q.record
		r.RequestBody, r.FakeBody, r.ResponseBody = nil, nil, nil
		r.Trailer = append(r.Trailer, audit.Field{Name: "Gate-Note", Value: "cut: bodies, too many records wait"})
		countLost(g.log, &g.stats.bodiesCut, "bodies of records")
	}
	select {
	case g.queue <- q:
	default:
		g.waiting.Add(-n)
		countLost(g.log, &g.stats.dropped, "record queue is full")
	}
}

// maxWaitingBodies bounds the bodies of all records that wait for Handle.
const maxWaitingBodies = 128 << 20

func bodyBytes(r *audit.Record) int64 {
	return int64(len(r.RequestBody) + len(r.FakeBody) + len(r.ResponseBody))
}

// countLost counts, and tells the 1st, 2nd, 4th, 8th ... loss: a flood must not fill the log too.
func countLost(log *slog.Logger, counter *atomic.Int64, what string) {
	if n := counter.Add(1); n&(n-1) == 0 {
		log.Warn("lost because nothing may wait for it", "what", what, "lost", n)
	}
}

// record takes what Fill does not know. Its bytes are its own.
func (x *exchange) record(head []byte) *audit.Record {
	r := &audit.Record{
		Kind: audit.KindHTTP, Host: x.site.Host.Name, Honeytrap: x.site.Host.Honeytrap,
		Time: x.began, Peer: x.conn.peer, Client: x.client, Server: x.conn.local, TLS: x.conn.tls,
		RequestHead: x.raw, Status: x.status,
		ResponseHead: slices.Clone(head), ResponseBody: x.kept, ResponseBodySize: x.size,
	}
	x.kept = nil
	if r.RequestHead == nil {
		r.RequestHead = headOf(x.r)
	}
	if head == nil && x.status > 0 {
		r.ResponseHead = answerHead(x.r.Proto, x.status, x.w.Header())
	}
	if x.body != nil {
		body, size := x.body.take()
		// Fill masks secrets in place, and a transport may still be sending these bytes to its upstream.
		r.RequestBody, r.RequestBodySize = slices.Clone(body), size
	}
	return r
}

// reset gives the exchange back. Nothing of a request may stay in it.
func (x *exchange) reset() {
	g := x.gate
	*x = exchange{gate: g, proxy: x.proxy, lookupEnv: x.lookupEnv, lookupDoc: x.lookupDoc, env: x.env[:0]}
	clear(x.env[:cap(x.env)])
	g.pool.Put(x)
}

// headOf writes the head of an HTTP/2 request in the form that rules and readers of logs know.
func headOf(r *http.Request) []byte {
	b := append([]byte(r.Method), ' ')
	b = append(b, r.RequestURI...)
	b = append(b, ' ')
	b = append(b, r.Proto...)
	if r.Host != "" {
		b = append(append(b, "\r\nHost: "...), r.Host...)
	}
	return appendHeader(b, r.Header)
}

func answerHead(proto string, status int, h http.Header) []byte {
	b := append([]byte(proto), ' ')
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	return appendHeader(b, h)
}

func appendHeader(b []byte, h http.Header) []byte {
	for _, name := range sortedNames(h) {
		for _, v := range h[name] {
			b = append(append(append(append(b, "\r\n"...), name...), ": "...), v...)
		}
	}
	return b
}

// sortedNames gives the names of a header in one order, whatever the map's.
func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for n := range h {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// refused is called when net/http answers a request by itself: a head that it does not take. The rules see the head, and
// what they set is in force, before the answer goes out.
func (g *Gate) refused(c *conn, answer []byte) {
	if c.rec == nil {
		return
	}
	for _, seen := range c.rec.Unclaimed() {
		g.malformed(c, seen, answer, statusOf(answer))
	}
}

// malformed makes a transaction of a head that no handler has seen. answer is what net/http sends, nil for nothing;
// status is that of the record then, as Apache has it: 408 for a head that never ended.
func (g *Gate) malformed(c *conn, seen wire.Seen, answer []byte, status int) {
	if len(seen.Raw) == 0 {
		return
	}
	g.stats.requests.Add(1)
	g.stats.malformed.Add(1)
	head := wire.ParseHead(seen.Raw, wire.Limits{})
	name, _ := head.Get("Host")
	s := g.table.Load().site(c.local, name)
	x := g.newExchange()
	x.conn, x.site, x.raw, x.began, x.client = c, s, seen.Raw, g.now(), c.client
	x.r = &http.Request{Method: head.Method, RequestURI: head.Target, Proto: head.Proto, Host: name, Header: http.Header{}, RemoteAddr: c.peer.String()}
	x.w = nowhere{}
	x.path, x.merged, x.status = head.Target, s.plain, status
	if s.Engine != nil {
		x.beginTransaction()
		if it := x.tx.RequestHeaders(); it == nil {
			x.tx.RequestBody()
		}
	}
	answerText, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	x.size = int64(len(body))
	x.finish([]byte(answerText))
}

// statusOf reads the status of an answer.
func statusOf(answer []byte) int {
	if len(answer) < 12 {
		return http.StatusBadRequest
	}
	n, err := strconv.Atoi(string(answer[9:12]))
	if err != nil {
		return http.StatusBadRequest
	}
	return n
}

// nowhere is the writer of a request that net/http has answered.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
