package store

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/trapline/trapline/audit"
)

// Filter selects events. Every field that is not zero must hold; the zero Filter selects all.
type Filter struct {
	// From and To bound the event's time: From <= time < To.
	From, To time.Time
	// Client is an address (as a prefix of full length) or a network.
	Client netip.Prefix
	Sensor string
	Port   uint16
	Kind   *audit.Kind
	Method string
	Host   string
	// StatusFrom and StatusTo bound the status, both included; 403 to 403 is one, 400 to 499 a class.
	StatusFrom, StatusTo int
	// Rule is the id of a matched rule.
	Rule int
	JA4  string
	Hash uint64
	// Text is found in URI, User-Agent, Host and rule message: all its words, in this order, the last one as a prefix.
	Text string
}

// Cursor is a place in a list, to go on from. The zero Cursor is the start. It is opaque and safe in a URL.
type Cursor string

// Page says which part of a list to read. At most one of Older and Newer is set.
type Page struct {
	// Older asks for what comes after this place, Newer for what comes before it.
	Older, Newer Cursor
	// Limit is the number of events; default 100, at most 1000.
	Limit int
}

// ErrCursor says that a cursor did not come from this store.
var ErrCursor = errors.New("not a cursor of an event list")

func makeCursor(at time.Time, seq int64) Cursor {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMicro()))
	binary.BigEndian.PutUint64(b[8:], uint64(seq))
	return Cursor(base64.RawURLEncoding.EncodeToString(b[:]))
}

func (c Cursor) split() (micros, seq int64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(b) != 16 {
		return 0, 0, ErrCursor
	}
	return int64(binary.BigEndian.Uint64(b[:8])), int64(binary.BigEndian.Uint64(b[8:])), nil
}

// where collects conditions and their values.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// where gives the conditions on the table events, alias e. Time, rule and text are left to the query, which picks its path by them.
func (f *Filter) where(w *where) {
	for _, p := range f.paths() {
		w.add(p.cond, p.args...)
	}
	// The values that have no index, because most events have them.
	if f.Method == http.MethodGet {
		w.add("e.method = ?", f.Method)
	}
	if f.Kind != nil && *f.Kind == audit.KindHTTP {
		w.add("e.kind = ?", uint8(*f.Kind))
	}
}

// bounds are the first and last address of a network as the column client holds them.
func bounds(p netip.Prefix) (lo, hi []byte) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	a := p.Masked().Addr().As16()
	b := a
	for i := bits; i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return a[:], b[:]
}

// matchText turns what a person typed into an FTS5 query: one phrase, its last
// word a prefix. Everything but letters and digits only separates words, so
// nothing typed is an operator. It is "" when there is no word.
func matchText(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) == 0 {
		return ""
	}
	return `"` + strings.Join(words, " ") + `" *`
}
