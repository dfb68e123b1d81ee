package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

const (
	rowsPerPage = 100
	// queryTime bounds a list: a filter that no index helps reads many rows.
	queryTime = 10 * time.Second
)

// eventsBody is the body of page_events.html.
type eventsBody struct {
	Rows   []eventRow
	Fields []fieldView
	Chips  []chip
	Faults []error
	// Text is the filter q, the first line of the form.
	Text string
	// Live is where script reads new rows, "" on a page further down; Seq is the newest event it shows.
	Live, Rest   string
	Seq          int64
	Newer, Older string // addresses, "" when there is none
	Hours        *histogram
	Total        int64
	Empty        bool     // the store has no event at all
	Try          []string // commands that make a first event
	Slow         bool
}

type fieldView struct{ Name, Label, Example, Value string }

// eventRow is one event of a list with the addresses its cells lead to.
type eventRow struct {
	store.Summary
	Now                                                time.Time
	Link, ClientLink, PortLink, SensorLink, MethodLink string
	Level                                              string // class for severity
	Kind                                               string
	Rules                                              []ruleLink
	MoreRules                                          int
}

type ruleLink struct {
	ID   int
	Link string
}

func (s *Site) eventsPage(w http.ResponseWriter, r *http.Request, v *visitor) {
	q := r.URL.Query()
	f, faults := parseFilter(q)
	page := store.Page{Older: store.Cursor(q.Get("older")), Newer: store.Cursor(q.Get("newer")), Limit: rowsPerPage}
	if page.Newer != "" {
		page.Older = ""
	}
	body := eventsBody{Faults: faults, Text: f.Text, Chips: chips(&f), Fields: fieldViews(&f), Seq: s.cfg.Store.Newest()}
	ctx, cancel := context.WithTimeout(r.Context(), queryTime)
	defer cancel()
	events, older, err := s.cfg.Store.Events(ctx, f, page)
	switch {
	case errors.Is(err, store.ErrCursor):
		s.fail(w, r, v, http.StatusBadRequest, "This address of a page of events is not complete.", nil)
		return
	case err != nil && ctx.Err() != nil && r.Context().Err() == nil:
		body.Slow = true
	case err != nil:
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot read its events.", err)
		return
	}
	body.Rows = s.rows(&f, events)
	place := func(name string, c store.Cursor) string {
		query := formatFilter(&f)
		query.Set(name, string(c))
		return listURL(query)
	}
	first := page.Older == "" && page.Newer == ""
	if older != "" {
		body.Older = place("older", older)
	}
	if !first && len(events) > 0 {
		body.Newer = place("newer", events[0].Newer())
	}
	if !first && len(events) == 0 { // nothing is newer: the start of the list
		http.Redirect(w, r, listURL(formatFilter(&f)), http.StatusSeeOther)
		return
	}
	if first && f.To.IsZero() {
		body.Live, body.Rest = streamURL("/events/live", &f), streamURL("/events/rows", &f)
	}
	if body.Hours, body.Total, err = s.histogram(ctx, &f); err != nil && ctx.Err() == nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot count its events.", err)
		return
	}
	body.Empty = body.Seq == 0
	for _, port := range s.cfg.TrapPorts[:min(len(s.cfg.TrapPorts), 3)] {
		body.Try = append(body.Try, "curl http://"+hostOnly(r.Host)+":"+strconv.Itoa(int(port))+"/")
	}
	s.render(w, r, v, http.StatusOK, "events", "Events", body)
}

func fieldViews(f *store.Filter) []fieldView {
	var out []fieldView
	for _, d := range fields() {
		if d.Name != "q" {
			out = append(out, fieldView{d.Name, d.Label, d.Example, d.text(f)})
		}
	}
	return out
}

func streamURL(path string, f *store.Filter) string {
	return (&url.URL{Path: path, RawQuery: formatFilter(f).Encode()}).String()
}

// maxRowRules is how many rule ids a row shows.
const maxRowRules = 4

func (s *Site) rows(f *store.Filter, events []store.Summary) []eventRow {
	now := s.cfg.Now()
	out := make([]eventRow, len(events))
	for i := range events {
		e := &events[i]
		row := eventRow{
			Summary: *e, Now: now, Link: eventURL(e.Sensor, e.ID), Kind: kindName(e.Kind), Level: level(e.Severity),
			PortLink: with(f, "port", strconv.Itoa(int(e.Port))), SensorLink: with(f, "sensor", e.Sensor),
		}
		if e.Client.IsValid() {
			row.ClientLink = with(f, "client", e.Client.Addr().String())
		}
		if e.Kind == audit.KindHTTP && e.Method != "" {
			row.MethodLink = with(f, "method", e.Method)
		}
		for j, id := range e.Rules {
			if j == maxRowRules {
				row.MoreRules = len(e.Rules) - j
				break
			}
			row.Rules = append(row.Rules, ruleLink{id, with(f, "rule", strconv.Itoa(id))})
		}
		out[i] = row
	}
	return out
}

func eventURL(sensor, id string) string {
	return "/events/" + url.PathEscape(sensor) + "/" + url.PathEscape(id)
}

// level is the class of a severity.
func level(severity int) string {
	switch {
	case severity <= 2:
		return "critical"
	case severity <= 4:
		return "warning"
	case severity <= 7:
		return "note"
	}
	return "none"
}

// update is what a page gets for events that arrived since Seq.
type update struct {
	Seq int64 `json:"seq"`
	// Full says that there are more than these: they replace the rows that are there.
	Full bool   `json:"full"`
	Rows int    `json:"rows"`
	HTML string `json:"html"`
}

// update reads what matches f and arrived after seq.
func (s *Site) update(ctx context.Context, f *store.Filter, seq int64) (*update, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	u := &update{Seq: s.cfg.Store.Newest()}
	if u.Seq <= seq {
		return u, nil
	}
	events, err := s.cfg.Store.Since(ctx, *f, seq, rowsPerPage)
	if err != nil || len(events) == 0 {
		return u, err
	}
	u.Seq = max(u.Seq, events[0].Seq)
	u.Full, u.Rows = len(events) == rowsPerPage, len(events)
	var b bytes.Buffer
	if err := s.pages["events"].ExecuteTemplate(&b, "rows", s.rows(f, events)); err != nil {
		return nil, err
	}
	u.HTML = b.String()
	return u, nil
}

// eventsRows answers a page that polls.
func (s *Site) eventsRows(w http.ResponseWriter, r *http.Request, v *visitor) {
	q := r.URL.Query()
	f, _ := parseFilter(q)
	seq, err := strconv.ParseInt(q.Get("since"), 10, 64)
	if err != nil {
		http.Error(w, "since is not a number", http.StatusBadRequest)
		return
	}
	u, err := s.update(r.Context(), &f, seq)
	if err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot read its events.", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u) // the browser went away: nothing to do
}
