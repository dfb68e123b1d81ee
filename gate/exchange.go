package gate

import (
	"bufio"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
)

// exchange is one request and its answer. It is the http.ResponseWriter that upstreams and files write to:
//
//	phase 1 ─► body ─► phase 2 ─► route ─► WriteHeader: phase 3 ─► Write: sent on, or kept for phase 4 ─► sent ─► phase 5
//
// It belongs to the goroutine that serves the connection, and is used again.
type exchange struct {
	gate *Gate
	site *site
	conn *conn
	w    http.ResponseWriter
	r    *http.Request
	tx   *seclang.Transaction // nil when the host has no rules

	began time.Time
	// transactionID is kept for the access log, which is written after the transaction's end.
	transactionID string
	client        netip.AddrPort
	trusted       bool // the peer is a named proxy
	raw           []byte
	path          string      // clean and decoded
	file          string      // that the path maps to, "" when it goes to an upstream
	fileInfo      fs.FileInfo // of file, once it was opened
	indexed       bool        // file is the index of the folder that was asked for
	infoOfIndex   bool        // fileInfo is of such an index
	doc           *seclang.Document
	docOf         string // the file that doc is of
	pass          *pass
	merged        *merged
	env           []envVar
	body          *requestBody
	patient       *patient // what reads the client's body

	status    int
	size      int64 // body bytes sent
	sent      bool  // the head is with net/http: too late for another answer
	denied    bool  // a rule made the answer: phases 3 and 4 do not see it
	failing   bool  // the answer is an error page or a redirect of ours
	buffering bool  // the body waits for phase 4
	cut       bool  // phase 4 saw the beginning of the body only
	judged    bool  // phase 3 has run
	ended     bool  // finish has run
	hijacked  bool
	kept      []byte // of the answer's body, for part E
	ticket    collection.Ticket
	committed bool

	proxy     httputil.ReverseProxy
	lookupEnv func(string) string
	lookupDoc func() *seclang.Document
}

func (g *Gate) newExchange() *exchange {
	if x, ok := g.pool.Get().(*exchange); ok {
		return x
	}
	x := &exchange{gate: g}
	x.lookupDoc = x.document
	x.lookupEnv = func(name string) string { v, _ := x.getenv(name); return v }
	x.proxy = httputil.ReverseProxy{
		Rewrite: x.rewrite, ModifyResponse: x.fromUpstream, ErrorHandler: x.upstreamFailed, FlushInterval: -1, BufferPool: g.blocks, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	return x
}

// ServeHTTP answers one request. Under Serve the transaction ends when net/http has written the answer, under any other
// server when ServeHTTP returns.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	served := c != nil && c.rec != nil
	if c == nil {
		c = foreignConn(g, r)
	}
	x := g.newExchange()
	x.conn, x.w, x.r, x.began = c, w, r, g.now()
	x.site = g.table.Load().site(c.local, r.Host)
	g.stats.requests.Add(1)
	switch {
	case served:
		c.begin(x)
	case c.h2 != nil:
		x.raw = c.h2.take(r)
	}
	defer func() {
		abort := x.recovered(recover())
		switch {
		case x.hijacked:
			c.current = nil
			x.finish(c.answer)
		case !served:
			x.finish(nil)
		}
		if abort {
			panic(http.ErrAbortHandler) // net/http closes the connection, and connState ends the exchange
		}
	}()
	x.serve()
	x.endBody()
}

// begin makes x the exchange under way and takes the request's head as it came.
func (c *conn) begin(x *exchange) {
	c.current, c.collect, c.answer = x, true, c.answer[:0]
	c.served++
	x.raw, _ = c.rec.Take(x.r.Method, x.r.RequestURI)
	c.received(x.r.ContentLength != 0)
	if x.r.ContentLength != 0 {
		// net/http reads what an answer left of the body and would wait for it for ever.
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(x.site.ioTimeout))
	}
	if most := x.site.limits.requests; most > 0 && c.served >= most {
		x.w.Header().Set("Connection", "close")
	}
}

// foreignConn stands for the connection when another server than ours calls ServeHTTP.
func foreignConn(g *Gate, r *http.Request) *conn {
	c := &conn{gate: g}
	if p, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.peer = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
		c.client = c.peer
	}
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		c.local = addrPort(a)
	}
	return c
}

// recovered ends a panic of a handler. It is true when the connection must be cut.
func (x *exchange) recovered(cause any) (abort bool) {
	switch cause {
	case nil, errAnswered:
		return false
	case http.ErrAbortHandler:
		return true
	}
	x.gate.contained("handler of "+x.path, cause)
	if x.sent || x.hijacked {
		return true
	}
	x.buffering, x.denied = false, true // phases 3 and 4 are no place for a second panic
	x.fail(http.StatusInternalServerError)
	x.endBody()
	return false
}

// errAnswered unwinds whatever was writing an answer that a rule has replaced.
var errAnswered = errors.New("gate: answered by a rule")

func (x *exchange) serve() {
	s, r := x.site, x.r
	x.client, x.trusted = clientOf(&s.Host.RemoteIP, x.conn.client, r.Header)
	x.path = cleanPath(r)
	x.route()
	if len(s.sections) > 0 {
		x.merged = s.merge(x.path, x.file)
	} else {
		x.merged = s.plain
	}
	if s.setsEnv {
		x.setEnv()
	}
	if s.Engine != nil {
		x.beginTransaction()
		if it := x.tx.RequestHeaders(); it != nil {
			x.interrupt(it)
			return
		}
	}
	if status := s.limits.overLimits(x.raw, r); status != 0 {
		x.fail(status)
		return
	}
	if x.readBody() {
		x.answer()
	}
}

func (x *exchange) beginTransaction() {
	c := seclang.Conn{Peer: x.conn.peer, Client: x.client, Server: x.conn.local, ServerName: x.site.Host.Name, TLS: x.conn.tls, Time: x.began, Document: x.lookupDoc}
	if x.site.setsEnv {
		c.Env = x.lookupEnv
	}
	x.tx = x.site.Engine.NewTransaction(c)
	x.transactionID = x.tx.ID()
	if x.raw != nil {
		x.tx.RequestHead(x.raw)
		return
	}
	r := x.r
	x.tx.RequestLine(r.Method, r.RequestURI, r.Proto)
	if r.Host != "" {
		x.tx.AddRequestHeader("Host", r.Host)
	}
	for _, name := range sortedNames(r.Header) {
		for _, v := range r.Header[name] {
			x.tx.AddRequestHeader(name, v)
		}
	}
}

// interrupt carries out a disruptive action of phase 1 or 2, or of later phases before anything was sent.
func (x *exchange) interrupt(it *seclang.Interruption) {
	x.gate.stats.blocked.Add(1)
	x.denied, x.buffering = true, false
	if it.Pause > 0 {
		t := time.NewTimer(min(it.Pause, x.gate.cfg.MaxPause))
		select {
		case <-t.C:
		case <-x.r.Context().Done():
			t.Stop()
		}
	}
	switch it.Action {
	case "drop":
		x.drop(it.Status)
	case "redirect":
		status := it.Status
		if status < 300 || status > 399 {
			status = http.StatusFound
		}
		x.redirect(status, it.URL)
	case "proxy":
		x.proxyTo(it.URL)
	default:
		status := it.Status
		if status < 100 || status > 599 {
			status = http.StatusForbidden
		}
		x.fail(status)
	}
}

// drop closes the connection without an answer.
func (x *exchange) drop(status int) {
	x.commit()
	x.status = status
	if x.conn.rec == nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	raw := x.conn.raw
	if k, ok := raw.(*counted); ok {
		raw = k.Conn
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = x.conn.raw.Close()
	panic(http.ErrAbortHandler)
}

// deny replaces an answer that is being written: it answers and unwinds the writer.
func (x *exchange) deny(it *seclang.Interruption) {
	x.interrupt(it)
	x.endBody()
	panic(errAnswered)
}

// Header returns the header of the answer.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader runs phase 3 and sends the head, unless phase 4 wants to see the body first.
func (x *exchange) WriteHeader(status int) {
	if x.sent || x.buffering {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		x.w.WriteHeader(status)
		return
	}
	x.status = status
	x.headerOps()
	if it := x.phase3(); it != nil {
		x.deny(it)
	}
	if x.tx != nil && !x.denied && x.site.readsAnswers() {
		if x.r.Method != http.MethodHead && bodyAllowed(status) && x.tx.WantsResponseBody() {
			x.buffering = true
			return
		}
		if x.r.Method == http.MethodHead && x.tx.SignsPage() {
			x.forgetBody()
		}
		// Nobody reads this body: phase 4 need not wait for it, and can still deny.
		if it := x.tx.ResponseBody(); it != nil {
			x.deny(it)
		}
	}
	x.sendHead()
}

// readsAnswers is true when some rule or setting needs the head of answers.
func (s *site) readsAnswers() bool {
	return s.phases[3] || s.phases[4] || s.phases[5] || s.settings.ContentInjection || s.settings.StreamOutBody || len(s.settings.Hash.Methods) > 0
}

func (x *exchange) phase3() *seclang.Interruption {
	if x.tx == nil || x.judged {
		return nil
	}
	x.judged = true
	x.tx.ResponseLine(x.status, x.r.Proto)
	if !x.site.readsAnswers() {
		return nil
	}
	header := x.w.Header()
	for _, name := range sortedNames(header) {
		for _, v := range header[name] {
			x.tx.AddResponseHeader(name, v)
		}
	}
	if x.denied {
		return nil
	}
	it := x.tx.ResponseHeaders()
	if location, changed := x.tx.LocationToSend(); changed {
		header.Set("Location", location)
	}
	return it
}

func (x *exchange) sendHead() {
	if x.sent {
		return
	}
	x.commit()
	x.sent = true
	x.w.WriteHeader(x.status)
}

// commit puts into force what the rules set, before the first byte of the answer.
func (x *exchange) commit() {
	if x.tx != nil && !x.committed {
		x.committed = true
		x.ticket = x.tx.Commit()
	}
}

// Write sends body bytes, or keeps them for phase 4.
func (x *exchange) Write(p []byte) (int, error) {
	if !x.sent && !x.buffering {
		if len(p) > 0 && x.w.Header()["Content-Type"] == nil && x.w.Header()["Content-Encoding"] == nil {
			x.w.Header().Set("Content-Type", http.DetectContentType(p))
		}
		x.WriteHeader(http.StatusOK)
	}
	if !x.buffering {
		return x.send(p)
	}
	kept, it := x.tx.WriteResponseBody(p)
	if it != nil {
		x.deny(it)
	}
	if kept < len(p) {
		// Over SecResponseBodyLimit with ProcessPartial: judge what there is, send it and all that follows.
		x.cut = true
		x.phase4()
		if _, err := x.send(p[kept:]); err != nil {
			return kept, err
		}
	}
	return len(p), nil
}

// write sends bytes that are not the application's.
func (x *exchange) write(p []byte) (int, error) {
	n, err := x.w.Write(p)
	x.size += int64(n)
	return n, err
}

func (x *exchange) send(p []byte) (int, error) {
	n, err := x.write(p)
	if x.site.keepResponse {
		x.keep(p[:n])
	}
	return n, err
}

// keep remembers the beginning of the body for part E.
func (x *exchange) keep(p []byte) {
	if room := int(x.site.settings.ResponseBodyLimit) - len(x.kept); room > 0 {
		x.kept = append(x.kept, p[:min(room, len(p))]...)
	}
}

// phase4 judges the body kept so far and sends it.
func (x *exchange) phase4() {
	x.buffering = false
	if it := x.tx.ResponseBody(); it != nil {
		x.deny(it)
	}
	body, changed := x.tx.BodyToSend()
	if changed {
		x.forgetBody()
		x.w.Header().Del("Content-Encoding") // rules see and change what is behind the coding
	}
	x.sendHead()
	switch {
	case len(body) == 0:
	case !changed:
		_, _ = x.send(body)
	default:
		_, _ = x.write(body)
		if x.site.keepResponse { // part E is what the application answered
			x.keep(x.tx.ReceivedBody())
		}
	}
}

// forgetBody drops what the head says of the application's body: what is sent is another one. A client that asks whether
// it has changed would be told no by an application that knows nothing of ours.
func (x *exchange) forgetBody() {
	h := x.w.Header()
	for _, name := range []string{"Content-Length", "Content-MD5", "ETag", "Last-Modified", "Accept-Ranges", "Digest", "Content-Digest", "Repr-Digest"} {
		h.Del(name)
	}
}

// endBody ends the answer: phase 4 for what waits, an empty 200 when nothing was written at all.
func (x *exchange) endBody() {
	if x.hijacked || x.ended {
		return
	}
	if x.buffering {
		x.phase4()
		return
	}
	if x.cut {
		x.cut = false
		if text := x.tx.AppendToSend(); text != "" {
			_, _ = x.write([]byte(text))
		}
	}
	if !x.sent {
		if x.status == 0 {
			x.WriteHeader(http.StatusOK)
		}
		if x.buffering {
			x.phase4()
		}
		x.sendHead()
	}
}

// Flush sends what was written, so that streams arrive at once; what phase 4 waits for stays.
func (x *exchange) Flush() {
	if x.buffering {
		return
	}
	if !x.sent {
		x.WriteHeader(http.StatusOK)
		if x.buffering {
			return
		}
	}
	_ = http.NewResponseController(x.w).Flush()
}

// FlushError is Flush for http.ResponseController.
func (x *exchange) FlushError() error {
	x.Flush()
	return nil
}

// Hijack gives the connection to an upgraded protocol. Phase 3 sees the 101 first.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if x.status == 0 {
		x.status = http.StatusSwitchingProtocols
		x.headerOps()
		it := x.phase3()
		if it == nil && x.tx != nil && x.site.readsAnswers() {
			it = x.tx.ResponseBody()
		}
		if it != nil {
			x.interrupt(it)
			return nil, nil, errAnswered
		}
	}
	x.commit()
	nc, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.hijacked, x.sent = true, true
	return x.gate.track(nc), rw, nil
}

// Unwrap lets http.ResponseController set deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// tracked is an upgraded connection that Shutdown can close.
type tracked struct {
	net.Conn
	gate *Gate
}

func (g *Gate) track(c net.Conn) net.Conn {
	t := &tracked{c, g}
	g.mu.Lock()
	g.hijacked[t] = struct{}{}
	g.mu.Unlock()
	return t
}

// Close closes the connection.
func (t *tracked) Close() error {
	err := t.Conn.Close()
	// Shutdown holds the lock while it closes: forget in its own time.
	go func() {
		t.gate.mu.Lock()
		delete(t.gate.hijacked, t)
		t.gate.mu.Unlock()
	}()
	return err
}
