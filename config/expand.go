package config

import (
	"slices"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// expand replaces ${NAME} by what Define or the environment says, as Apache does: before the line is split into arguments.
// An unknown name stays as it is; outside Sec* lines, where ${ may well be part of a pattern, a warning says so.
func (p *parser) expand(d seclang.Directive) seclang.Directive {
	if !strings.Contains(d.Raw, "${") {
		return d
	}
	raw, unknown := p.expandText(d.Raw)
	if unknown != "" && !seclang.IsDirective(d.Name) && !withoutEffect(d.Name) {
		hint := ""
		if strings.HasPrefix(unknown, "APACHE_") {
			hint = " (Debian's are in /etc/apache2/envvars: set -a; . /etc/apache2/envvars)"
		}
		p.warnf(d, "${%s} is neither defined nor in the environment and stays as it is%s", unknown, hint)
	}
	if raw == d.Raw {
		return d
	}
	line := d.Name + " " + raw
	if strings.HasPrefix(d.Name, "<") {
		line += ">"
	}
	again, err := seclang.Lex(d.File, []byte(line))
	if err != nil || len(again) != 1 {
		p.errorf(d, "after ${} is replaced: found %q, expected one directive", line)
		return d
	}
	again[0].File, again[0].Line = d.File, d.Line
	return again[0]
}

// expandText replaces each ${NAME} once; replaced text is not looked at again.
func (p *parser) expandText(s string) (out, unknown string) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			break
		}
		name := s[i+2 : i+end]
		value, ok := p.defs[name]
		if !ok {
			value, ok = p.opt.Env(name)
		}
		if !ok {
			value = s[i : i+end+1]
			if unknown == "" {
				unknown = name
			}
		}
		b.WriteString(s[:i])
		b.WriteString(value)
		s = s[i+end+1:]
	}
	b.WriteString(s)
	return b.String(), unknown
}

func withoutEffect(name string) bool {
	return slices.ContainsFunc(unusedDirectives(), func(u unused) bool { return strings.EqualFold(u.name, name) && !u.refuse })
}
