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

// builtinNames are the variables that every record has without being set, in
// the order in which ModSecurity lists them; builtin knows their values by place.
func builtinNames() [10]string {
	return [...]string{
		"__expire_KEY", "KEY", "TIMEOUT", "__key", "__name", "CREATE_TIME", "UPDATE_COUNTER", "IS_NEW", "LAST_UPDATE_TIME", "UPDATE_RATE",
	}
}

// builtin returns the value of the i-th of builtinNames, and whether the record has it.
func (v View) builtin(i int) (string, bool) {
	switch i {
	case 0:
		return decimal(v.head.updated + v.head.timeout), true
	case 1, 3:
		return v.head.key, true
	case 2:
		return decimal(v.head.timeout), true
	case 4:
		return v.name, true
	case 5:
		return decimal(v.head.created), true
	case 6:
		return decimal(v.head.counter), true
	case 7:
		return "1", v.fresh
	case 8:
		return decimal(v.head.updated), !v.fresh
	default:
		return decimal(v.rate()), !v.fresh
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

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
	for i, b := range builtinNames() {
		if len(b) == len(name) && strings.EqualFold(b, name) {
			return v.builtin(i)
		}
	}
	if rest, is := cutPrefixFold(name, "__expire_"); is {
		if at, ok := v.ExpiresVar(rest); ok {
			return decimal(at.Unix()), true
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
		for i, name := range builtinNames() {
			if value, ok := v.builtin(i); ok && !yield(name, value) {
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
			if x.flags&hasExpiry != 0 && !yield("__expire_"+x.name, decimal(x.expiry)) {
				return
			}
		}
	}
}
