package collection

import (
	"iter"
	"strconv"
	"strings"
	"time"
)

// View is a record as it was at the moment of Load. It never changes; copying
// it is cheap. The strings it hands out may be kept.
type View struct {
	name  string
	head  head
	vars  string // encoded variables
	now   int64  // of Load, Unix seconds
	fresh bool   // there was no record
}

func viewOf(name, rec string, now int64) View {
	h, vars, err := decodeHead(rec)
	if err != nil {
		panic("collection: record in memory does not decode")
	}
	return View{name: name, head: h, vars: vars, now: now}
}

// WithTimeout returns v with TIMEOUT set, for a record that does not exist yet:
// SecCollectionTimeout belongs to the site, so Load does not know it. Of an
// existing record TIMEOUT is what it was made with, as in ModSecurity.
func (v View) WithTimeout(d time.Duration) View {
	if v.fresh {
		v.head.timeout = int64(d / time.Second)
	}
	return v
}

// IsNew tells whether there was no record.
func (v View) IsNew() bool { return v.fresh }

// Name returns the collection's name and Key the record's key.
func (v View) Name() string { return v.name }

// Key returns the record's key.
func (v View) Key() string { return v.head.key }

// Created returns CREATE_TIME.
func (v View) Created() time.Time { return time.Unix(v.head.created, 0) }

// Expires returns the time at which the whole record ends if nothing is stored before.
func (v View) Expires() time.Time { return time.Unix(v.head.updated+v.head.timeout, 0) }

// ExpiresVar returns when the variable called name ends by expirevar, and whether it does.
func (v View) ExpiresVar(name string) (time.Time, bool) {
	for vars := v.vars; vars != ""; {
		x, rest, err := nextVariable(vars)
		if err != nil {
			break
		}
		if strings.EqualFold(x.name, name) {
			return time.Unix(x.expiry, 0), x.flags&hasExpiry != 0 && !x.expired(v.now)
		}
		vars = rest
	}
	return time.Time{}, false
}

// builtin is one variable that every record has without being set.
type builtin struct {
	name  string
	value func(View) (string, bool)
}

// builtins are in the order in which ModSecurity lists them.
func builtins() [10]builtin {
	num := func(n int64) (string, bool) { return strconv.FormatInt(n, 10), true }
	return [...]builtin{
		{"__expire_KEY", func(v View) (string, bool) { return num(v.head.updated + v.head.timeout) }},
		{"KEY", func(v View) (string, bool) { return v.head.key, true }},
		{"TIMEOUT", func(v View) (string, bool) { return num(v.head.timeout) }},
		{"__key", func(v View) (string, bool) { return v.head.key, true }},
		{"__name", func(v View) (string, bool) { return v.name, true }},
		{"CREATE_TIME", func(v View) (string, bool) { return num(v.head.created) }},
		{"UPDATE_COUNTER", func(v View) (string, bool) { return num(v.head.counter) }},
		{"IS_NEW", func(v View) (string, bool) { return "1", v.fresh }},
		{"LAST_UPDATE_TIME", func(v View) (string, bool) { s, _ := num(v.head.updated); return s, !v.fresh }},
		{"UPDATE_RATE", func(v View) (string, bool) { s, _ := num(v.rate()); return s, !v.fresh }},
	}
}

// rate is changes per minute since the record was made; 0 in its first second.
func (v View) rate() int64 {
	age := v.now - v.head.created
	if age <= 0 {
		return 0
	}
	return 60 * v.head.counter / age
}

// Get returns the value of a variable or built-in; the case of name does not matter.
func (v View) Get(name string) (value string, ok bool) {
	for vars := v.vars; vars != ""; {
		x, rest, err := nextVariable(vars)
		if err != nil {
			break
		}
		if len(x.name) == len(name) && strings.EqualFold(x.name, name) {
			return x.value, x.flags&hasValue != 0 && !x.expired(v.now)
		}
		vars = rest
	}
	if len(name) < 3 {
		return "", false
	}
	for _, b := range builtins() {
		if strings.EqualFold(b.name, name) {
			return b.value(v)
		}
	}
	if rest, is := cutPrefixFold(name, "__expire_"); is {
		if at, ok := v.ExpiresVar(rest); ok {
			return strconv.FormatInt(at.Unix(), 10), true
		}
	}
	return "", false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// All yields every variable that ModSecurity has in the collection: the
// built-ins (upper case), the housekeeping ones whose names start with "__",
// and those that rules set (lower case, in the order in which they were first
// set, each followed by its __expire_ variable if it has one).
func (v View) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, b := range builtins() {
			if value, ok := b.value(v); ok && !yield(b.name, value) {
				return
			}
		}
		for vars := v.vars; vars != ""; {
			x, rest, err := nextVariable(vars)
			if err != nil {
				return
			}
			vars = rest
			if x.expired(v.now) {
				continue
			}
			if x.flags&hasValue != 0 && !yield(x.name, x.value) {
				return
			}
			if x.flags&hasExpiry != 0 && !yield("__expire_"+x.name, strconv.FormatInt(x.expiry, 10)) {
				return
			}
		}
	}
}
