package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// maxAhead is how far a sensor's clock may go ahead of ours. An event from
// further in the future is listed under the time it was received: else one
// wrong clock, or one forged entry, would head the list for ever.
const maxAhead = 10 * time.Minute

// read makes an event of an entry in any form that ModSecurity writes. The
// error says why the entry can never be accepted. The event keeps body.
func (rc *Receiver) read(sensor string, body []byte) (store.Event, error) {
	now := rc.cfg.Now()
	event := store.Event{Sensor: sensor, Received: now, Entry: body}
	var faults []audit.Fault
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		event.Record, faults = audit.ParseJSON(trimmed)
		if event.Record != nil {
			event.Entry = audit.AppendNative(nil, event.Record)
		}
	} else {
		event.Record, faults = audit.ParseNative(body)
	}
	if event.Record == nil || event.Record.ID == "" {
		if len(faults) > 0 {
			return event, fmt.Errorf("not an audit entry: %s (offset %d)", faults[0].Text, faults[0].Offset)
		}
		return event, errors.New("not an audit entry: it has no unique id")
	}
	if !validID(event.Record.ID) {
		return event, errors.New("not an audit entry: the unique id has characters that no server makes")
	}
	if at := event.Record.Time; at.IsZero() || at.Unix() < 0 || at.After(now.Add(maxAhead)) {
		event.Record.Time = now
	}
	return event, nil
}

// validID accepts what ModSecurity 2 and 3 and we make, with room to spare: an id is part of file names and URLs.
func validID(id string) bool {
	if len(id) > 128 || id == "." || id == ".." {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '@', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
