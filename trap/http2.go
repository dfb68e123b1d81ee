package trap

import (
	"bytes"
	"context"
	"errors"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/seclang/connlimit"
)

const (
	h2Window    = 65535 // RFC 9113, section 6.9.2: initial windows
	h2MaxFrame  = 16384 // the smallest SETTINGS_MAX_FRAME_SIZE: we never ask for more
	h2MaxFrames = 1000  // control frames without a request between them
)

// h2 is one HTTP/2 connection, clear or in TLS. It does one thing at a time on
// one goroutine: it reads frames until a request is complete, answers it, and
// goes on. Header blocks are decoded here and not by a validating reader: what
// is malformed is what a trap is for, and the order of fields is kept.
type h2 struct {
	c   *conn
	x   *exchange
	fr  *http2.Framer
	out bytes.Buffer // frames not yet sent
	dec *hpack.Decoder
	enc *hpack.Encoder
	hb  bytes.Buffer // of enc

	streams map[uint32]*stream // being received
	ready   []*stream          // complete, in order
	block   *stream            // whose header block is being read
	last    uint32             // highest stream id seen
	kept    int                // body bytes of streams being received
	heads   int                // bytes of their heads
	control int                // control frames since the last request
	window  int64              // what we may send on the connection
	initial int64              // what we may send on a new stream
	peerMax int                // the peer's SETTINGS_MAX_FRAME_SIZE
	windows map[uint32]int64   // what we may send on a stream
	served  int
}

// stream is one request while it comes in.
type stream struct {
	id        uint32
	begun     time.Time
	fragments int // bytes of header block
	fields    []hpack.HeaderField
	headBytes int
	headCut   bool
	endsHead  bool // END_STREAM was on the HEADERS frame
	trailer   bool // a second header block: trailers are kept as fields of the head's end
	body      keeper
	note      string // why it is not whole
	status    int    // what that means, 0: nothing
	reset     bool   // the client has reset it: no answer
}

// http2 serves the connection after its preface has been seen.
func (c *conn) http2(ctx context.Context, x *exchange) {
	_, _ = x.br.Discard(len(preface))
	h := &h2{
		c: c, x: x, streams: make(map[uint32]*stream), windows: make(map[uint32]int64),
		window: h2Window, initial: h2Window, peerMax: h2MaxFrame,
	}
	h.fr = http2.NewFramer(&h.out, x.br)
	h.fr.SetMaxReadFrameSize(h2MaxFrame)
	h.dec = hpack.NewDecoder(4096, nil)
	h.dec.SetMaxStringLength(c.trap.limits.Head)
	h.enc = hpack.NewEncoder(&h.hb)
	limits := c.trap.limits
	_ = h.fr.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(limits.Streams)},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: h2MaxFrame},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: uint32(limits.Head)},
	)
	code := h.serve(ctx)
	h.abandon(ctx)
	if h.served == 0 && c.helloBytes == nil {
		h.prefaceOnly(ctx)
	} else if h.served == 0 {
		c.helloOnly(ctx, "no request after the HTTP/2 preface")
	}
	_ = h.fr.WriteGoAway(h.last, code, nil)
	h.flush()
	c.unread = true
}

// serve reads and answers until the connection has to end; it returns the code to end it with.
func (h *h2) serve(ctx context.Context) http2.ErrCode {
	for {
		for len(h.ready) > 0 {
			st := h.ready[0]
			h.c.counted.Set(connlimit.Writing)
			h.ready = h.ready[1:]
			if !h.request(ctx, st) {
				return http2.ErrCodeNo
			}
		}
		if h.c.trap.closing.Load() && len(h.streams) == 0 || !now().Before(h.c.last()) {
			return http2.ErrCodeNo
		}
		if code, ok := h.read(); !ok {
			return code
		}
	}
}

// read sends what is to be sent and handles one frame.
func (h *h2) read() (http2.ErrCode, bool) {
	if !h.flush() {
		return http2.ErrCodeNo, false
	}
	c := h.c
	c.trap.clients.wait(c)
	c.between(len(h.streams) == 0)
	if c.trap.closing.Load() && len(h.streams) == 0 {
		return http2.ErrCodeNo, false
	}
	h.rest()
	c.readBy(h.deadline())
	f, err := h.fr.ReadFrame()
	c.between(false)
	var ce http2.ConnectionError
	var se http2.StreamError
	switch {
	case err == nil:
	case errors.As(err, &se):
		h.drop(se.StreamID, "malformed frame", se.Code)
		return 0, true
	case errors.As(err, &ce):
		return http2.ErrCode(ce), false
	case errors.Is(err, http2.ErrFrameTooLarge):
		return http2.ErrCodeFrameSize, false
	case isTimeout(err) && c.cutReason() == cutNot:
		if len(h.streams) > 0 {
			c.trap.count.slowReq.Add(1)
		} else {
			c.trap.count.slowConns.Add(1)
		}
		return http2.ErrCodeNo, false
	default:
		return http2.ErrCodeNo, false
	}
	if _, begins := f.(*http2.HeadersFrame); begins && !c.admitted() {
		return http2.ErrCodeNo, false
	}
	if h.control++; h.control > h2MaxFrames {
		return http2.ErrCodeEnhanceYourCalm, false
	}
	if code := h.frame(f); code != http2.ErrCodeNo {
		return code, false
	}
	if h.crowded() {
		return http2.ErrCodeEnhanceYourCalm, false
	}
	return 0, true
}

// rest counts what the connection does while it waits for a frame. It counts once, however many its requests are: it
// reads until the first is there and while one is incomplete.
func (h *h2) rest() {
	state := connlimit.Idle
	if len(h.streams) > 0 || h.served == 0 {
		state = connlimit.Reading
	}
	h.c.counted.Set(state)
}

// deadline is when the client must have gone on.
func (h *h2) deadline() time.Time {
	limits := h.c.trap.limits
	until := now().Add(limits.KeepAlive)
	if h.served == 0 {
		until = h.c.begun.Add(limits.RequestTime)
	}
	for _, st := range h.streams {
		if end := st.begun.Add(limits.RequestTime); end.Before(until) || len(h.streams) == 1 {
			until = end
		}
	}
	if last := h.c.last().Add(limits.RequestTime); last.Before(until) {
		until = last
	}
	return until
}

// frame handles one frame; a code other than NO_ERROR ends the connection.
func (h *h2) frame(f http2.Frame) http2.ErrCode {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return h.headers(f)
	case *http2.ContinuationFrame:
		return h.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		h.data(f)
	case *http2.SettingsFrame:
		return h.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = h.fr.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			h.window += int64(f.Increment)
		} else if w, ok := h.windows[f.StreamID]; ok {
			h.windows[f.StreamID] = w + int64(f.Increment)
		}
		if h.window > 1<<31-1 {
			return http2.ErrCodeFlowControl
		}
	case *http2.RSTStreamFrame:
		if st := h.streams[f.StreamID]; st != nil {
			st.reset, st.note = true, "reset by the client"
			h.complete(st)
		}
	case *http2.PushPromiseFrame:
		return http2.ErrCodeProtocol
	}
	return http2.ErrCodeNo
}

func (h *h2) headers(f *http2.HeadersFrame) http2.ErrCode {
	h.control = 0
	if st := h.streams[f.StreamID]; st != nil {
		st.trailer, st.endsHead = true, f.StreamEnded()
		h.block = st
		return h.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	}
	if f.StreamID%2 == 0 || f.StreamID <= h.last {
		return http2.ErrCodeProtocol
	}
	h.last = f.StreamID
	st := &stream{id: f.StreamID, begun: now(), endsHead: f.StreamEnded(), body: keeper{budget: &h.c.trap.budget}}
	h.streams[st.id] = st
	h.windows[st.id] = h.initial
	h.block = st
	return h.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// fragment takes one piece of a header block. Every block must go through the
// decoder, wanted or not, or its table would differ from the client's.
func (h *h2) fragment(b []byte, end bool) http2.ErrCode {
	st := h.block
	if st == nil {
		return http2.ErrCodeProtocol
	}
	limit := h.c.trap.limits.Head
	if st.fragments += len(b); st.fragments > 2*limit {
		st.note, st.status = "header block over the limit", 431
		return http2.ErrCodeEnhanceYourCalm
	}
	h.dec.SetEmitFunc(func(f hpack.HeaderField) {
		// As SETTINGS_MAX_HEADER_LIST_SIZE counts, and for all requests of the connection together: one byte on the
		// wire can name a field that is in memory many times as large.
		n := len(f.Name) + len(f.Value) + 32
		if st.headCut = st.headCut || st.headBytes+n > limit || h.heads+n > 4*limit; st.headCut {
			return
		}
		st.headBytes += n
		h.heads += n
		st.fields = append(st.fields, f)
	})
	_, err := h.dec.Write(b)
	if err == nil && end {
		err = h.dec.Close()
	}
	if err != nil {
		st.note, st.status = "malformed header block", 400
		return http2.ErrCodeCompression
	}
	if !end {
		return http2.ErrCodeNo
	}
	h.block = nil
	switch {
	case st.endsHead:
		h.complete(st)
	case len(h.streams) > h.c.trap.limits.Streams:
		// The client may send it again; that it was sent now is recorded.
		h.drop(st.id, "over the limit of streams", http2.ErrCodeRefusedStream)
	}
	return http2.ErrCodeNo
}

func (h *h2) data(f *http2.DataFrame) {
	if n := f.Header().Length; n > 0 {
		_ = h.fr.WriteWindowUpdate(0, n)
	}
	st := h.streams[f.StreamID]
	if st == nil {
		return // of a request that has been answered already
	}
	h.control = 0
	limits := h.c.trap.limits
	// One limit for all requests of the connection: many streams must not hold many times as much.
	st.body.limit = len(st.body.kept) + limits.Body - h.kept
	before := len(st.body.kept)
	if dropped := st.body.add(f.Data()); dropped > 0 {
		h.c.trap.count.bytesDropped.Add(uint64(dropped))
		st.status = 413
	}
	h.kept += len(st.body.kept) - before
	switch {
	case f.StreamEnded():
		h.complete(st)
	case st.body.size > int64(limits.Body)+limits.Drain:
		st.note = "body over the limit"
		h.complete(st)
	case f.Header().Length > 0:
		_ = h.fr.WriteWindowUpdate(f.StreamID, f.Header().Length)
	}
}

func (h *h2) settings(f *http2.SettingsFrame) http2.ErrCode {
	if f.IsAck() {
		return http2.ErrCodeNo
	}
	if f.NumSettings() > 32 {
		return http2.ErrCodeEnhanceYourCalm
	}
	_ = f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			if s.Val > 1<<31-1 {
				return nil
			}
			delta := int64(s.Val) - h.initial
			h.initial = int64(s.Val)
			for id := range h.windows {
				h.windows[id] += delta
			}
		case http2.SettingMaxFrameSize:
			h.peerMax = int(min(max(s.Val, h2MaxFrame), 1<<20))
		case http2.SettingHeaderTableSize:
			h.enc.SetMaxDynamicTableSize(min(s.Val, 4096))
		}
		return nil
	})
	_ = h.fr.WriteSettingsAck()
	return http2.ErrCodeNo
}

// complete moves a stream to those that are to be answered.
func (h *h2) complete(st *stream) {
	delete(h.streams, st.id)
	h.kept -= len(st.body.kept)
	h.heads -= st.headBytes
	h.ready = append(h.ready, st)
}

// crowded is true when the client asks on while it does not take the answers.
func (h *h2) crowded() bool { return len(h.ready) > h.c.trap.limits.Streams }

// drop resets a stream; what came of it is recorded.
func (h *h2) drop(id uint32, why string, code http2.ErrCode) {
	_ = h.fr.WriteRSTStream(id, code)
	if st := h.streams[id]; st != nil {
		st.note, st.status, st.reset = why, 400, true
		h.complete(st)
	}
}

// flush sends the frames written so far.
func (h *h2) flush() bool {
	if h.out.Len() == 0 {
		return true
	}
	ok := h.c.send(h.out.Bytes())
	h.out.Reset()
	return ok
}
