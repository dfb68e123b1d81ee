package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// pages are the parsed templates by name: "events" is layout.html + page_events.html.
type pages map[string]*template.Template

// frame is what layout.html needs, and the page inside it.
type frame struct {
	Title   string
	Page    string // name of the page, such as "events"
	User    string
	Token   string // of forms
	Version string
	// Decisions says whether there is a page of decisions.
	Decisions bool
	Body      any
}

func loadPages(a assets) pages {
	funcs := template.FuncMap{
		"asset": a.url, "hasAsset": a.has,
		"show": show, "showBytes": showBytes, "showLines": showLines, "showBrief": showBrief, "typed": typed,
		"clock": clock, "stamp": stamp, "since": since, "number": number, "size": size,
	}
	names, err := fs.Glob(pageFiles, "page_*.html")
	if err != nil {
		panic("web: " + err.Error())
	}
	out := pages{}
	for _, file := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "page_"), ".html")
		out[name] = template.Must(template.New("layout.html").Funcs(funcs).ParseFS(pageFiles, "layout.html", file))
	}
	return out
}

// render writes a page. It is made whole before the first byte goes out, so that an error is an error page and not half a page.
func (s *Site) render(w http.ResponseWriter, r *http.Request, v *visitor, status int, page, title string, body any) {
	f := frame{Title: title, Page: page, Version: s.cfg.Version, Decisions: s.cfg.Decisions != nil, Body: body}
	if v != nil {
		f.User, f.Token = v.User, formToken(v.token)
	}
	var b bytes.Buffer
	if err := s.pages[page].Execute(&b, &f); err != nil {
		s.cfg.Logger.Error("page was not made", "page", page, "error", err)
		http.Error(w, "This page cannot be shown; the console's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the browser went away: nothing to do
	}
}

// failure is the body of page_error.html.
type failure struct {
	Status int
	Text   string
}

// fail shows an error page. err, when it is trouble of our own, goes to the log and not to the page.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, v *visitor, status int, text string, err error) {
	if err != nil && r.Context().Err() == nil {
		s.cfg.Logger.Error("page failed", "path", r.URL.Path, "error", err)
	}
	s.render(w, r, v, status, "error", http.StatusText(status), failure{status, text})
}

// clock is the time of day, with the day when it is not now's.
func clock(t, now time.Time) string {
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05")
	}
	if t.UTC().Year() == now.UTC().Year() {
		return t.UTC().Format("2 Jan 15:04:05")
	}
	return t.UTC().Format("2 Jan 2006 15:04")
}

// stamp is a full time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
}

// since tells how far t lies before or after now, in one unit.
func since(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		// A ban of 24 hours, seconds after it began, ends "in 1 day", not "in 23 hours".
		return "in " + span(nearest(-d))
	}
	if d < time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// nearest rounds to the unit in which span will speak.
func nearest(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			return d.Round(unit)
		}
	}
	return d.Round(time.Second)
}

func span(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{365 * 24 * time.Hour, "year"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.d); n == 1 {
			return "1 " + u.name
		} else if n > 1 {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "less than a second"
}

// number groups the digits of an integer by three.
func number(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// size is a number of bytes, an int or int64, in a unit that leaves at most four digits.
func size(n any) string {
	var v float64
	switch n := n.(type) {
	case int:
		v = float64(n)
	case int64:
		v = float64(n)
	}
	unit := "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%.0f B", v)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
