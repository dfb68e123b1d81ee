package app

import (
	"context"
	"fmt"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
)

// handle is the line of an event, from the verdict to the disk. It returns when
// the record and the tag that the transaction set are durable; only then does the
// answer leave a trap. What follows (consoles, feeds, other sites) reads the spool
// and the decision log at its own pace, so nothing behind this line delays a request.
func (s *Sensor) handle(ctx context.Context, h *host, r *audit.Record, tag collection.Ticket) error {
	r.Host, r.Honeytrap = h.name, h.honeytrap
	spooled := h.route.queue(r.ID, audit.AppendNative(nil, r)) // its fsync runs beside the tag's
	if err := tag.Wait(ctx); err != nil {
		return fmt.Errorf("make the tag of %s durable: %w", r.Client, err)
	}
	if err := spooled.Wait(ctx); err != nil {
		return fmt.Errorf("spool record %s: %w", r.ID, err)
	}
	for _, log := range h.logs {
		if !r.Relevant {
			break // SecAuditEngine does not want it in the files; the spool keeps every touch
		}
		if err := log.Write(ctx, r); err != nil {
			return fmt.Errorf("write audit log: %w", err)
		}
	}
	if err := s.decide(ctx, r); err != nil {
		return fmt.Errorf("decide on %s: %w", r.Client, err)
	}
	return nil
}
