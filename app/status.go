package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
)

// status is what every room counts, by room: what came, what was kept, and what
// a limit has cut. A limit that nobody can see is a record lost in silence.
func (s *Sensor) status() map[string]any {
	all := map[string]any{
		"trap": s.trap.Stats(), "gate": s.gate.Stats(), "collection": s.collections.Stats(), "decision": s.decisions.Stats(),
		"records per client": s.folds.stats(),
		"rules":              map[string]int64{"LogLinesLost": s.lostLines.Load()},
	}
	if g := s.settings.Load().guardian; g != nil {
		all["guardian log"] = guardianStats{Dropped: g.log.Dropped(), Restarts: g.log.Restarts()}
	}
	all["connections"] = s.connections.Stats()
	if failing := s.disk.failing(); len(failing) > 0 {
		all["data disk cannot be written"] = failing
	}
	if s.console != nil && s.console.isOpen() {
		all["ingest"] = s.console.ingest.Stats()
	}
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for name, r := range s.routes.open {
		to := []string{}
		if r.own != nil {
			to = append(to, ownLabel)
		}
		for _, f := range r.senders {
			to = append(to, f.to.Name)
		}
		label := "spool to " + cmp.Or(strings.Join(to, ", "), "nobody")
		if _, taken := all[label]; taken { // what an earlier configuration queued
			label += " (" + name + ")"
		}
		all[label] = r.spool.Stats()
		for reader, stats := range r.spool.Destinations() {
			if !slices.ContainsFunc(r.senders, func(f *sender) bool { return f.to.Name == reader }) { // those show their own
				all[label+" for "+reader] = stats
			}
		}
		for _, f := range r.senders {
			all["forward to "+f.to.Name] = f.Stats()
		}
	}
	return all
}

// Status prints the counters of the program that runs on the data directory, one
// a line: those that are not zero, or with all every one.
func Status(ctx context.Context, out io.Writer, data string, all bool) error {
	res, err := ask(ctx, data, http.MethodGet, "/status")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var rooms map[string]map[string]any
	if err := json.NewDecoder(res.Body).Decode(&rooms); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		printCounters(w, room, rooms[room], all)
	}
	if err := w.Flush(); err != nil || all {
		return err
	}
	_, err = fmt.Fprintln(out, "what is not listed is 0; --all lists it")
	return err
}

func printCounters(w io.Writer, prefix string, counters map[string]any, all bool) {
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		text := ""
		switch v := counters[name].(type) {
		case map[string]any:
			printCounters(w, prefix+" "+words(name), v, all)
			continue
		case float64:
			text = fmt.Sprintf("%.0f", v)
			if strings.Contains(name, "Bytes") && v >= 1024 {
				text += " (" + byteSize(v) + ")"
			}
		default:
			text = fmt.Sprint(v)
		}
		if all || text != "0" && text != "" && text != "false" && text != zeroTime {
			fmt.Fprintf(w, "%s\t%s\t%s\n", prefix, words(name), visible(text))
		}
	}
}

// zeroTime is the zero time.Time as JSON writes it: it never happened.
const zeroTime = "0001-01-01T00:00:00Z"

// words writes the name of a counter as words: "BodiesCut" becomes "bodies cut", "TLSErrors" "TLS errors".
func words(name string) string {
	var parts []string
	upper := func(i int) bool { return i < len(name) && 'A' <= name[i] && name[i] <= 'Z' }
	start := 0
	for i := 1; i <= len(name); i++ {
		if i < len(name) && (!upper(i) || upper(i-1) && (i+1 == len(name) || upper(i+1))) {
			continue
		}
		word := name[start:i]
		if word != strings.ToUpper(word) {
			word = strings.ToLower(word)
		}
		parts, start = append(parts, word), i
	}
	return strings.Join(parts, " ")
}

// byteSize writes a number of bytes in the largest unit that leaves one figure before the point.
func byteSize(n float64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}
