package web

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// field is one filter of the query string. Parse sets it in a store.Filter;
// Text gives it back as it goes into the query string, "" when it is not set.
type field struct {
	Name, Label, Example string
	parse                func(f *store.Filter, text string) error
	text                 func(f *store.Filter) string
}

// errField says what a value should look like.
type errField struct{ label, text, want string }

func (e errField) Error() string { return fmt.Sprintf("%s %q: %s", e.label, e.text, e.want) }

var errValue = errors.New("value")

const timeLayout = "2006-01-02T15:04:05Z07:00"

// fields is the table of all filters, in the order in which forms and chips show them.
func fields() []field {
	return []field{
		{"q", "Text", "wp-login", func(f *store.Filter, s string) error { f.Text = s; return nil }, func(f *store.Filter) string { return f.Text }},
		{"client", "Client", "192.0.2.7 or 192.0.2.0/24", parseClient, clientText},
		{"port", "Port", "8000", func(f *store.Filter, s string) error {
			n, err := strconv.ParseUint(s, 10, 16)
			f.Port = uint16(n)
			return err
		}, func(f *store.Filter) string { return numberText(int(f.Port)) }},
		{"sensor", "Sensor", "east-1", func(f *store.Filter, s string) error { f.Sensor = s; return nil }, func(f *store.Filter) string { return f.Sensor }},
		{"kind", "Kind", "http, tls, bytes, connect", parseKind, func(f *store.Filter) string {
			if f.Kind == nil {
				return ""
			}
			return kindName(*f.Kind)
		}},
		{"method", "Method", "POST", func(f *store.Filter, s string) error { f.Method = s; return nil }, func(f *store.Filter) string { return f.Method }},
		{"host", "Host", "www.example.com", func(f *store.Filter, s string) error { f.Host = s; return nil }, func(f *store.Filter) string { return f.Host }},
		{"status", "Status", "403 or 4xx", parseStatus, statusText},
		{"rule", "Rule", "999004", func(f *store.Filter, s string) error {
			n, err := strconv.Atoi(s)
			if n < 0 {
				err = errValue
			}
			f.Rule = n
			return err
		}, func(f *store.Filter) string { return numberText(f.Rule) }},
		{"ja4", "JA4", "t13d1516h2_…", func(f *store.Filter, s string) error { f.JA4 = s; return nil }, func(f *store.Filter) string { return f.JA4 }},
		{"request", "Same request", "16 hex digits", func(f *store.Filter, s string) error {
			n, err := strconv.ParseUint(s, 16, 64)
			f.Hash = n
			return err
		}, func(f *store.Filter) string {
			if f.Hash == 0 {
				return ""
			}
			return hashText(f.Hash)
		}},
		{"from", "From", "2026-11-22 08:00", func(f *store.Filter, s string) (err error) { f.From, err = parseTime(s); return err }, func(f *store.Filter) string { return timeText(f.From) }},
		{"to", "To", "2026-11-22 09:00", func(f *store.Filter, s string) (err error) { f.To, err = parseTime(s); return err }, func(f *store.Filter) string { return timeText(f.To) }},
	}
}

// maxValue bounds one value of the query string.
const maxValue = 1024

// parseFilter reads the filters of a query string. What cannot be read is left out of the filter and named in the errors.
func parseFilter(q url.Values) (store.Filter, []error) {
	var f store.Filter
	var faults []error
	for _, d := range fields() {
		text := strings.TrimSpace(q.Get(d.Name))
		if text == "" {
			continue
		}
		next := f
		if len(text) > maxValue || d.parse(&next, text) != nil {
			faults = append(faults, errField{d.Label, brief(60, text), "expected for example " + d.Example})
			continue
		}
		f = next
	}
	return f, faults
}

// formatFilter is the query string that parseFilter reads as f.
func formatFilter(f *store.Filter) url.Values {
	q := url.Values{}
	for _, d := range fields() {
		if text := d.text(f); text != "" {
			q.Set(d.Name, text)
		}
	}
	return q
}

func parseClient(f *store.Filter, s string) error {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		f.Client = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return err
	}
	f.Client = p.Masked()
	return nil
}

func clientText(f *store.Filter) string {
	switch {
	case !f.Client.IsValid():
		return ""
	case f.Client.IsSingleIP():
		return f.Client.Addr().String()
	}
	return f.Client.String()
}

func parseKind(f *store.Filter, s string) error {
	for k := audit.KindHTTP; k <= audit.KindConnect; k++ {
		if strings.EqualFold(s, kindName(k)) {
			f.Kind = &k
			return nil
		}
	}
	return errValue
}

func kindName(k audit.Kind) string {
	switch k {
	case audit.KindHTTP:
		return "http"
	case audit.KindTLS:
		return "tls"
	case audit.KindBytes:
		return "bytes"
	case audit.KindConnect:
		return "connect"
	}
	return strconv.Itoa(int(k))
}

func parseStatus(f *store.Filter, s string) error {
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok && len(class) == 1 && class[0] >= '1' && class[0] <= '9' {
		f.StatusFrom = int(class[0]-'0') * 100
		f.StatusTo = f.StatusFrom + 99
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || n > 999 {
		return errValue
	}
	f.StatusFrom, f.StatusTo = int(n), int(n)
	return nil
}

func statusText(f *store.Filter) string {
	switch f.StatusFrom {
	case 0:
		return ""
	case f.StatusTo:
		return strconv.Itoa(f.StatusFrom)
	}
	return strconv.Itoa(f.StatusFrom/100) + "xx"
}

// parseTime reads RFC 3339 and what people and datetime-local fields write, in UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{timeLayout, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			// Beyond these years microseconds since 1970 or the text would not fit.
			if t = t.UTC(); t.Year() < 1970 || t.Year() > 9998 {
				return time.Time{}, errValue
			}
			return t.Truncate(time.Second), nil
		}
	}
	return time.Time{}, errValue
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

func numberText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func hashText(h uint64) string { return fmt.Sprintf("%016x", h) }

// chip is one filter in force, and the address of the list without it.
type chip struct{ Label, Text, Without string }

func chips(f *store.Filter) []chip {
	var out []chip
	for _, d := range fields() {
		text := d.text(f)
		if text == "" {
			continue
		}
		q := formatFilter(f)
		q.Del(d.Name)
		if d.Name == "from" || d.Name == "to" {
			text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z") + " UTC"
		}
		out = append(out, chip{d.Label, text, listURL(q)})
	}
	return out
}

func listURL(q url.Values) string {
	if len(q) == 0 {
		return "/events"
	}
	return "/events?" + q.Encode()
}

// with is the list's address with one more filter.
func with(f *store.Filter, name, value string) string {
	q := formatFilter(f)
	q.Set(name, value)
	return listURL(q)
}
