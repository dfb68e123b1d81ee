package seclang

import (
	"strconv"
	"strings"
)

// each yields the names and values of a keyed variable in order of arrival. A source with a selector may be
// answered with more than it picks; the caller filters.
func (tx *Transaction) each(s *source, yield func(key, val string)) {
	q := &tx.request
	switch s.v {
	case vArgs:
		yieldFields(q.argsGet, yield)
		yieldFields(q.args, yield)
	case vArgsGet:
		yieldFields(q.argsGet, yield)
	case vArgsPost:
		yieldFields(q.args, yield)
	case vArgsNames:
		yieldNames(q.argsGet, yield)
		yieldNames(q.args, yield)
	case vArgsGetNames:
		yieldNames(q.argsGet, yield)
	case vArgsPostNames:
		yieldNames(q.args, yield)
	case vRequestHeaders:
		yieldFields(q.headers, yield)
	case vRequestHeadersNames:
		yieldNames(q.headers, yield)
	case vRequestCookies:
		yieldFields(q.cookies, yield)
	case vRequestCookiesNames:
		yieldNames(q.cookies, yield)
	case vResponseHeaders:
		yieldFields(tx.response.headers, yield)
	case vResponseHeadersNames:
		yieldNames(tx.response.headers, yield)
	case vTX:
		for _, slot := range tx.tx.order {
			yield(tx.tx.slots[slot].name, tx.tx.slots[slot].value)
		}
	case vIP, vSession, vUser, vResource, vGlobal:
		if p := tx.open(s.v); p != nil {
			if s.sel.key != "" && s.sel.rx == nil {
				if val, ok := p.get(s.sel.key); ok {
					yield(storedName(s.sel.key), val)
				}
				return
			}
			p.each(yield)
		}
	case vMatchedVars:
		for i := range tx.matched.all {
			m := &tx.matched.all[i]
			yield(m.name(), m.val)
		}
	case vMatchedVarsNames:
		for i := range tx.matched.all {
			n := tx.matched.all[i].name()
			yield(n, n)
		}
	case vEnv:
		tx.eachEnv(s, yield)
	case vGeo:
		for _, f := range tx.geo {
			yield(f.Name, f.Value)
		}
	case vWebserverErrorLog:
		for _, text := range tx.serverErrors {
			yield("", text)
		}
	case vPerfRules:
		for i := range tx.watch.rules {
			yield(strconv.Itoa(tx.watch.rules[i].id), tx.watch.rules[i].text)
		}
	case vRule:
		for _, k := range []string{"id", "rev", "severity", "msg", "logdata"} {
			if val := tx.ruleField(k); val != "" {
				yield(k, val)
			}
		}
	default:
		tx.eachOfBody(s, yield)
	}
}

func yieldFields(fs []field, yield func(key, val string)) {
	for i := range fs {
		yield(fs[i].name, fs[i].value)
	}
}

func yieldNames(fs []field, yield func(key, val string)) {
	for i := range fs {
		yield(fs[i].name, fs[i].name)
	}
}

// eachEnv yields what setenv set, then what the server's environment says about a name asked for outright.
func (tx *Transaction) eachEnv(s *source, yield func(key, val string)) {
	for _, f := range tx.env {
		yield(f.Name, f.Value)
		if f.Name == s.sel.key {
			return
		}
	}
	if tx.conn.Env == nil || s.sel.key == "" || s.sel.rx != nil {
		return
	}
	if val := tx.conn.Env(s.sel.key); val != "" {
		yield(s.sel.key, val)
	}
}

// ruleField is %{rule.x}: what the rule being run says of itself.
func (tx *Transaction) ruleField(key string) string {
	if tx.rule == nil {
		return ""
	}
	r := tx.rule.starter
	switch lower(key) {
	case "id":
		return strconv.Itoa(r.id)
	case "rev":
		return r.rev
	case "severity":
		if r.severity >= 0 {
			return strconv.Itoa(r.severity)
		}
	case "msg":
		return r.msg.expand(tx)
	case "logdata":
		return r.logdata.expand(tx)
	}
	return ""
}

// storedName is a name of a persistent collection as the store has it: lower case, but for the built-ins.
func storedName(name string) string {
	for _, b := range [...]string{"KEY", "TIMEOUT", "CREATE_TIME", "UPDATE_COUNTER", "IS_NEW", "LAST_UPDATE_TIME", "UPDATE_RATE"} {
		if strings.EqualFold(b, name) {
			return b
		}
	}
	return lower(name)
}
