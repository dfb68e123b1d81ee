package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/spool"
)

// handle is the line of an event, from the verdict to the disk. It returns when
// the record (or the one that says that its client is over its limit) and the tag
// that the transaction set are durable; only then does the answer leave a trap. What follows (consoles, feeds, other sites) reads the spool
// and the decision log at its own pace, so nothing behind this line delays a request.
func (s *Sensor) handle(ctx context.Context, h *host, r *audit.Record, tag collection.Ticket) error {
	r.Host, r.Honeytrap = h.name, h.honeytrap
	spooled := spool.Ticket{}
	if kept := s.folds.take(h, r); kept != nil { // else its client floods us: a summary counts it
		spooled = h.route.queue(r.ID, audit.AppendNative(nil, fitting(whole(kept))))
		spooled.Begin() // its fsync runs beside the tag's
	}
	var errs []error
	if err := errors.Join(tag.Wait(ctx), spooled.Wait(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("make record %s and the tag of %s durable: %w", r.ID, r.Client, err))
	}
	// One full disk must not silence the others: logs and decisions may lie elsewhere.
	for _, log := range h.logs {
		if !r.Relevant {
			break // SecAuditEngine does not want it in the files; the spool keeps every touch
		}
		if err := log.Write(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("write audit log: %w", err))
		}
	}
	if err := s.decide(ctx, r); err != nil {
		errs = append(errs, fmt.Errorf("decide on %s: %w", r.Client, err))
	}
	return errors.Join(errs...)
}

// summarize makes the summary of a client's folded records durable.
func (s *Sensor) summarize(ctx context.Context, h *host, r *audit.Record) error {
	return h.route.queue(r.ID, audit.AppendNative(nil, whole(r))).Wait(ctx)
}

// whole is the record with every part when it is of a honeytrap: SecAuditLogParts
// says what the audit log of ModSecurity's own kind holds, and a console is to see the
// whole touch. Of the real site's records only the parts that the owner named go on.
func whole(r *audit.Record) *audit.Record {
	if !r.Honeytrap {
		return r
	}
	full := *r
	full.Parts = audit.NativeParts
	return &full
}

// maxBody is what of each body goes to a console. Spools and consoles take entries of 8 MiB; one
// that they refuse would be lost as a whole. The audit log of the host itself has all of it.
const maxBody = 2 << 20

// fitting is the record with bodies that a console takes.
func fitting(r *audit.Record) *audit.Record {
	if max(len(r.RequestBody), len(r.FakeBody), len(r.ResponseBody)) <= maxBody {
		return r
	}
	cut := *r
	for _, body := range []*[]byte{&cut.RequestBody, &cut.FakeBody, &cut.ResponseBody} {
		*body = (*body)[:min(len(*body), maxBody)]
	}
	note := audit.Field{Name: "Trap-Note", Value: fmt.Sprintf("cut: %d bytes of a body kept", maxBody)}
	cut.Trailer = append(slices.Clone(r.Trailer), note)
	return &cut
}
