package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
)

// status is what every room counts, by room: what came, what was kept, and what
// a limit has cut. A limit that nobody can see is a record lost in silence.
func (s *Sensor) status() map[string]any {
	all := map[string]any{
		"trap": s.trap.Stats(), "gate": s.gate.Stats(), "collection": s.collections.Stats(), "decision": s.decisions.Stats(),
	}
	if s.ingest != nil {
		all["ingest"] = s.ingest.Stats()
	}
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for name, r := range s.routes.open {
		all["spool "+name] = r.spool.Stats()
		for _, f := range r.senders {
			all["forward to "+f.to.Name] = f.Stats()
		}
	}
	return all
}

// Status prints the counters of the program that runs on the data directory, one a line.
func Status(ctx context.Context, out io.Writer, data string) error {
	res, err := ask(ctx, data, http.MethodGet, "/status")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var all map[string]map[string]any
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, room := range slices.Sorted(maps.Keys(all)) {
		printCounters(w, room, all[room])
	}
	return w.Flush()
}

func printCounters(w io.Writer, prefix string, counters map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		switch v := counters[name].(type) {
		case map[string]any:
			printCounters(w, prefix+"."+name, v)
		case float64:
			fmt.Fprintf(w, "%s\t%s\t%.0f\n", prefix, name, v)
		default:
			fmt.Fprintf(w, "%s\t%s\t%v\n", prefix, name, v)
		}
	}
}
