package web

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/trapline/trapline/console/store"
)

// histogram is the bar chart of events by hour above a list.
type histogram struct {
	Bars      []bar
	Width     int
	From, To  time.Time
	Peak, Sum int64
}

type bar struct {
	X, Y, Height int
	Label, Link  string
	Events       int64
}

const (
	histogramHours  = 48
	histogramHeight = 48
	barStep         = 10
)

// histogram counts the last two days (or the two days before f.To) by hour,
// nil when f has a filter that is not counted by hour; total is the number of events in all time.
func (s *Site) histogram(ctx context.Context, f *store.Filter) (*histogram, int64, error) {
	all, err := s.cfg.Store.Stats(ctx)
	if err != nil {
		return nil, 0, err
	}
	if !f.Counted() {
		return nil, all.Events, nil
	}
	g := *f
	end := s.cfg.Now().UTC()
	if !f.To.IsZero() && f.To.Before(end) {
		end = f.To.Add(-time.Second)
	}
	g.To = end.Truncate(time.Hour).Add(time.Hour)
	g.From = g.To.Add(-histogramHours * time.Hour)
	hours, err := s.cfg.Store.Hours(ctx, g)
	if err != nil || len(hours) == 0 {
		return nil, all.Events, err
	}
	h := &histogram{Width: histogramHours * barStep, From: g.From, To: g.To}
	for _, c := range hours {
		h.Peak = max(h.Peak, c.Events)
		h.Sum += c.Events
	}
	for _, c := range hours {
		height := max(2, int(c.Events*histogramHeight/max(h.Peak, 1)))
		q := formatFilter(f)
		q.Set("from", timeText(c.Hour))
		q.Set("to", timeText(c.Hour.Add(time.Hour)))
		h.Bars = append(h.Bars, bar{
			X: int(c.Hour.Sub(g.From)/time.Hour) * barStep, Y: histogramHeight - height, Height: height, Events: c.Events,
			Label: fmt.Sprintf("%s: %s events", c.Hour.Format("2 Jan 15:04"), number(c.Events)), Link: listURL(q),
		})
	}
	return h, all.Events, nil
}

// hostOnly is a Host header without its port, as a URL needs it.
func hostOnly(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if strings.Contains(host, ":") {
		return "[" + strings.Trim(host, "[]") + "]"
	}
	return (&url.URL{Host: host}).Host
}
