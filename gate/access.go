package gate

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trapline/trapline/config"
)

// visitor is what access control asks about.
type visitor struct {
	method        string
	client, local netip.Addr
	env           func(string) (string, bool)
}

// allowed evaluates access control as Apache 2.4 does: Require, then Order with Allow and Deny; all must agree, or one with Satisfy Any.
func allowed(a *config.Access, v *visitor) bool {
	if a == nil {
		return true
	}
	for i := range a.Limited {
		l := &a.Limited[i]
		named := slices.ContainsFunc(l.Methods, func(m string) bool { return m == v.method || m == "GET" && v.method == "HEAD" })
		if named != l.Except && !allowed(l, v) {
			return false
		}
	}
	require, order := true, true
	if a.Require != nil {
		require = decide(a.Require, v) == yes
	}
	if a.Order != "" || a.Allow != nil || a.Deny != nil {
		order = ordered(a, v)
	}
	if a.SatisfyAny && a.Require != nil && a.Order != "" {
		return require || order
	}
	return require && order
}

// ordered evaluates Order, Allow and Deny.
func ordered(a *config.Access, v *visitor) bool {
	allow, deny := matchAny(a.Allow, v), matchAny(a.Deny, v)
	switch a.Order {
	case "allow,deny":
		return allow && !deny
	case "mutual-failure":
		return allow && !deny
	}
	return allow || !deny // deny,allow is the default
}

func matchAny(who []config.Who, v *visitor) bool {
	return slices.ContainsFunc(who, func(w config.Who) bool { return is(&w, v) })
}

func is(w *config.Who, v *visitor) bool {
	switch {
	case w.All:
		return true
	case w.Local:
		return v.client.IsLoopback() || v.client == v.local
	case w.Env != "":
		_, set := v.env(w.Env)
		return set != w.EnvNot
	}
	return slices.ContainsFunc(w.Prefixes, func(p netip.Prefix) bool { return p.Contains(v.client) })
}

type verdict uint8

const (
	neutral verdict = iota
	yes
	no
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// decide evaluates a Require tree as mod_authz_core does: "not" can only forbid or be neutral.
func decide(r *config.Require, v *visitor) verdict {
	var result verdict
	switch r.Kind {
	case "granted":
		result = yes
	case "denied":
		result = no
	case "who":
		result = verdictOf(is(&r.Who, v))
	case "method":
		result = verdictOf(slices.ContainsFunc(r.Methods, func(m string) bool { return strings.EqualFold(m, v.method) }))
	case "all":
		result = decideAll(r.Children, v)
	case "any":
		result = decideAny(r.Children, v)
	case "none":
		if result = decideAny(r.Children, v); result == yes {
			return no
		}
		return neutral
	}
	if !r.Not {
		return result
	}
	if result == yes {
		return no
	}
	return neutral
}

func decideAll(children []config.Require, v *visitor) verdict {
	result := neutral
	for i := range children {
		switch decide(&children[i], v) {
		case no:
			return no
		case yes:
			result = yes
		case neutral:
		}
	}
	return result
}

func decideAny(children []config.Require, v *visitor) verdict {
	result := neutral
	for i := range children {
		switch decide(&children[i], v) {
		case yes:
			return yes
		case no:
			result = no
		case neutral:
		}
	}
	return result
}
