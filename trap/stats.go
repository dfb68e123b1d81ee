package trap

import "sync/atomic"

// Stats are counters since New, but for Open and Clients, which are of this moment.
type Stats struct {
	Open, Clients int // connections that hold a place, and clients that own them

	Accepted uint64
	HTTP     uint64 // records by kind
	TLS      uint64
	Bytes    uint64
	Connects uint64 // with a record of their own
	Summed   uint64 // bare connects that are only counted, in a summary record

	CutForNew    uint64 // connections that waited longest and made room for a new one
	CutAtOnce    uint64 // over a limit with nothing to make room: tagged, recorded, closed
	CutInFlood   uint64 // more than twice Limits.Total at a time: tagged, counted in a summary record, closed
	SlowRequests uint64 // Limits.RequestTime passed before the request was complete
	SlowConns    uint64 // Limits.ConnTime or KeepAlive passed without a request
	HeadsCut     uint64 // heads over Limits.Head
	BodiesCut    uint64 // bodies over Limits.Body
	RawCut       uint64 // other bytes over Limits.Raw
	BytesDropped uint64 // bytes read beyond these limits, in no record

	AcceptErrors uint64
	Panics       uint64
	Unrecorded   uint64 // records that Handle did not take
}

type counters struct {
	accepted, http, tls, bytes, connects, summed         atomic.Uint64
	cutForNew, cutAtOnce, cutInFlood, slowReq, slowConns atomic.Uint64
	headsCut, bodiesCut, rawCut, bytesDropped            atomic.Uint64
	acceptErrors, panics, unrecorded                     atomic.Uint64
}

// Stats returns the counters.
func (t *Trap) Stats() Stats {
	c := &t.count
	open, owners := t.clients.counts()
	return Stats{
		Open: open, Clients: owners,
		Accepted: c.accepted.Load(), HTTP: c.http.Load(), TLS: c.tls.Load(), Bytes: c.bytes.Load(),
		Connects: c.connects.Load(), Summed: c.summed.Load(),
		CutForNew: c.cutForNew.Load(), CutAtOnce: c.cutAtOnce.Load(), CutInFlood: c.cutInFlood.Load(),
		SlowRequests: c.slowReq.Load(), SlowConns: c.slowConns.Load(),
		HeadsCut: c.headsCut.Load(), BodiesCut: c.bodiesCut.Load(), RawCut: c.rawCut.Load(), BytesDropped: c.bytesDropped.Load(),
		AcceptErrors: c.acceptErrors.Load(), Panics: c.panics.Load(), Unrecorded: c.unrecorded.Load(),
	}
}
