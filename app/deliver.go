package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/forward"
	"github.com/trapline/trapline/spool"
)

// deliverBatch is how many records one commit of the own console takes at most.
const deliverBatch = 512

// deliver carries a spool's records into the console of this process. It stands
// where a forwarder stands for a console elsewhere and keeps the same promise:
// a record is acknowledged after the console's commit only, and the console knows a repeated one by its id.
func deliver(ctx context.Context, r *spool.Reader, to *store.Store, sensor string, log *slog.Logger) error {
	wait := time.Second
	for {
		batch, err := nextBatch(ctx, r)
		switch {
		case ctx.Err() != nil, errors.Is(err, spool.ErrClosed):
			return ignoreEnd(ctx, err)
		case err != nil: // the disk: it may come back, and the site must not end with it
			log.Error("read spool", "destination", ownLabel, "err", err, "retry_in", wait)
			if !sleep(ctx, wait) {
				return nil
			}
			wait = min(2*wait, time.Minute)
			continue
		}
		events, taken, unreadable := readBatch(batch, sensor)
		for _, u := range unreadable {
			log.Error("record set aside: it cannot be read", "id", u.ID, "fault", u.fault)
			err := r.SetAside(u.Seq, u.fault)
			if err != nil && !errors.Is(err, spool.ErrGivenUp) {
				log.Error("record cannot be set aside, it is tried again", "id", u.ID, "err", err)
				_ = r.Release(u.Seq)
				if !sleep(ctx, wait) {
					return nil
				}
			}
		}
		for {
			if _, err = to.Insert(ctx, events); err == nil {
				break
			}
			log.Error("console store refuses records; they stay in the spool", "err", err, "retry_in", wait)
			if !sleep(ctx, wait) {
				return nil
			}
			wait = min(2*wait, time.Minute)
		}
		wait = time.Second
		for _, e := range taken {
			if err := r.Ack(e.Seq); err != nil {
				return err
			}
		}
		deliverGaps(ctx, r, to, sensor)
	}
}

// deliverGaps stores what the console will never get; what fails is tried after the next record.
func deliverGaps(ctx context.Context, r *spool.Reader, to *store.Store, sensor string) {
	for _, g := range r.Gaps() {
		if g.Reported {
			continue
		}
		record := forward.GapRecord(r.Name(), g)
		event := store.Event{Sensor: sensor, Entry: audit.AppendNative(nil, record), Record: record}
		if _, err := to.Insert(ctx, []store.Event{event}); err == nil {
			r.Report(g)
		}
	}
}

// unreadable is an entry that is no record.
type unreadable struct {
	spool.Entry
	fault string
}

// readBatch parses entries; taken are those that became events.
func readBatch(batch []spool.Entry, sensor string) (events []store.Event, taken []spool.Entry, bad []unreadable) {
	for _, e := range batch {
		record, faults := audit.ParseNative(e.Bytes)
		if record.ID == "" {
			bad = append(bad, unreadable{e, firstFault(faults)})
			continue
		}
		events = append(events, store.Event{Sensor: sensor, Received: e.Time, Entry: e.Bytes, Record: record})
		taken = append(taken, e)
	}
	return events, taken, bad
}

// nextBatch waits for one record and takes what else is there.
func nextBatch(ctx context.Context, r *spool.Reader) ([]spool.Entry, error) {
	first, err := r.Next(ctx)
	if err != nil {
		return nil, err
	}
	batch := []spool.Entry{first}
	for len(batch) < deliverBatch {
		e, ok := r.Poll()
		if !ok {
			break
		}
		batch = append(batch, e)
	}
	return batch, nil
}

func firstFault(faults []audit.Fault) string {
	if len(faults) == 0 {
		return "no reason known"
	}
	return faults[0].Text
}

// ignoreEnd turns the end of the context into a clean return.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// sleep waits unless the context ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
