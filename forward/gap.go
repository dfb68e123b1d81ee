package forward

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/spool"
)

// GapRecord is the record that tells a console what it will never get, because the spool was full and this
// console the furthest behind. Its id is the same each time that it is made, so a repetition is known.
func GapRecord(reader string, g spool.Gap) *audit.Record {
	sum := sha256.Sum256(fmt.Appendf(nil, "gap %s %d %d %d", reader, g.From, g.To, g.First.UnixNano()))
	return &audit.Record{
		ID: hex.EncodeToString(sum[:12]), Time: g.First, Kind: audit.KindConnect, Honeytrap: true, Parts: "ABFHZ",
		Folded: &audit.Folded{Records: g.Entries, First: g.First, Last: g.Before},
		Trailer: []audit.Field{{Name: "Trap-Note", Value: fmt.Sprintf(
			"gap: %d records were given up: the sensor's spool was full, and this console had not taken them", g.Entries)}},
	}
}

// reportGaps tells the console of gaps that it does not know of. Only our own consoles are told: they know what
// such a record means. A failure costs nothing, it is told after the next success.
func (f *Forwarder) reportGaps(ctx context.Context) {
	address := ""
	if f.d.Protocol == ProtocolBatch {
		address = batchURL(f.d.URL)
	} else if path := f.batchPath.Load(); path != nil {
		address = *path
	}
	if address == "" || !f.reporting.TryLock() {
		return
	}
	defer f.reporting.Unlock()
	for _, g := range f.cfg.Reader.Gaps() {
		if g.Reported {
			continue
		}
		r := GapRecord(f.cfg.Reader.Name(), g)
		o := f.postBatch(ctx, address, [][]byte{audit.AppendNative(nil, r)})
		if o.verdict == failed {
			return
		}
		f.cfg.Reader.Report(g) // also when the console refuses it: it would refuse it again
		f.cfg.Logger.Warn("console was told of records that it will not get", "destination", f.d.Name, "records", g.Entries, "since", g.First, "before", g.Before)
	}
}
