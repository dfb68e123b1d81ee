package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// sec hands a Sec* line to the host. Unknown ones too: seclang knows best what was expected instead.
func (b *builder) sec(s *scope, d seclang.Directive) {
	if s.place == inLimit || s.place == inSection {
		b.errorf(d, "%s stands inside <%s>, expected directly in <Directory>, <Files> or <Location>, in <VirtualHost> or outside", d.Name, s.title())
		return
	}
	if strings.EqualFold(d.Name, "SecRuleInheritance") && s.place == inHost && len(d.Args) == 1 {
		s.host.noInheritRules = !b.on(d, d.Args[0])
		return
	}
	s.host.ownSec = append(s.host.ownSec, d)
}

// scopedSec turns Sec* lines of a <Directory>, <Files> or <Location> into lines for the whole host that act on
// its requests only: settings become ctl actions of a rule on the path, rules stand between a skipAfter and its marker.
func (b *builder) scopedSec(h *Host, sec *Section, ds []seclang.Directive) {
	variable, pattern, ok := b.selector(h, sec)
	if !ok {
		b.errorf(ds[0], "%s stands inside <%s %s>, which holds no path of the site; expected a folder below DocumentRoot", ds[0].Name, sec.Kind, sec.Pattern)
		return
	}
	var ctls []string
	var rules []seclang.Directive
	for _, d := range ds {
		if ctl, ok := ctlOf(d); ok {
			ctls = append(ctls, ctl)
			continue
		}
		switch strings.ToLower(d.Name) {
		case "secrule", "secaction", "secmarker", "secrulescript":
			rules = append(rules, d)
		default:
			b.errorf(d, "%s cannot be set for one <%s>; expected it in <VirtualHost> or outside, or a rule with ctl", d.Name, sec.Kind)
		}
	}
	at := func(name, raw string, args ...string) seclang.Directive {
		return seclang.Directive{Name: name, Args: args, Raw: raw, File: sec.File, Line: sec.Line}
	}
	rule := func(operator, actions string) {
		h.ownSec = append(h.ownSec, at("SecRule", fmt.Sprintf("%s %q %q", variable, operator, actions), variable, operator, actions))
	}
	if len(ctls) > 0 {
		rule("@rx "+pattern, "id:"+b.ruleID()+",phase:1,t:none,nolog,pass,ctl:"+strings.Join(ctls, ",ctl:"))
	}
	if len(rules) == 0 {
		return
	}
	marker := fmt.Sprintf("END-%s-%s:%d", strings.ToUpper(sec.Kind.String()), sec.File, sec.Line)
	for phase := 1; phase <= 5; phase++ {
		rule("!@rx "+pattern, "id:"+b.ruleID()+",phase:"+strconv.Itoa(phase)+",t:none,nolog,pass,skipAfter:'"+marker+"'")
	}
	h.ownSec = append(h.ownSec, rules...)
	h.ownSec = append(h.ownSec, at("SecMarker", strconv.Quote(marker), marker))
}

// ruleID gives ids above those that people use; they are stable for one configuration text.
func (b *builder) ruleID() string {
	b.scopedRules++
	return strconv.Itoa(2_000_000_000 + b.scopedRules)
}

// ctlOf is the ctl action that does for a transaction what a directive does for a server.
func ctlOf(d seclang.Directive) (string, bool) {
	if len(d.Args) == 0 {
		return "", false
	}
	arg := d.Args[0]
	switch strings.ToLower(d.Name) {
	case "secruleengine":
		return "ruleEngine=" + arg, true
	case "secauditengine":
		return "auditEngine=" + arg, true
	case "secauditlogparts":
		return "auditLogParts=" + arg, true
	case "secrequestbodyaccess":
		return "requestBodyAccess=" + arg, true
	case "secresponsebodyaccess":
		return "responseBodyAccess=" + arg, true
	case "secrequestbodylimit":
		return "requestBodyLimit=" + arg, true
	case "secresponsebodylimit":
		return "responseBodyLimit=" + arg, true
	case "secruleremovebyid":
		var out []string
		for _, id := range strings.FieldsFunc(strings.Join(d.Args, " "), func(r rune) bool { return r == ' ' || r == ',' }) {
			out = append(out, "ruleRemoveById="+id)
		}
		return strings.Join(out, ",ctl:"), len(out) > 0
	case "secruleremovebytag":
		return "ruleRemoveByTag=" + arg, true
	case "secruleremovebymsg":
		return "ruleRemoveByMsg=" + arg, true
	case "secruleupdatetargetbyid", "secruleupdatetargetbytag", "secruleupdatetargetbymsg":
		// Only exclusions have a ctl.
		if len(d.Args) != 2 || !strings.HasPrefix(d.Args[1], "!") || strings.Contains(d.Args[1], ",") {
			return "", false
		}
		by := map[string]string{"secruleupdatetargetbyid": "Id", "secruleupdatetargetbytag": "Tag", "secruleupdatetargetbymsg": "Msg"}[strings.ToLower(d.Name)]
		return "ruleRemoveTargetBy" + by + "=" + arg + ";" + d.Args[1][1:], true
	}
	return "", false
}

// selector is the variable and the pattern that hold for the requests of a section.
func (b *builder) selector(h *Host, sec *Section) (variable, pattern string, ok bool) {
	switch {
	case sec.Within != nil:
		return "", "", false
	case sec.Kind == Location && sec.Regexp != nil:
		return "REQUEST_FILENAME", sec.Pattern, true
	case sec.Kind == Location:
		return "REQUEST_FILENAME", prefixPattern(sec.Pattern), true
	case sec.Kind == Files && sec.Regexp != nil:
		return "REQUEST_BASENAME", sec.Pattern, true
	case sec.Kind == Files:
		return "REQUEST_BASENAME", "^" + GlobPattern(sec.Pattern) + "$", true
	case sec.Regexp != nil || strings.ContainsAny(sec.Pattern, "*?["):
		return "", "", false
	}
	folder := strings.TrimSuffix(sec.Pattern, "/")
	if folder == "" || h.DocumentRoot == folder || strings.HasPrefix(h.DocumentRoot, folder+"/") {
		return "REQUEST_FILENAME", "^", true
	}
	if below, inside := strings.CutPrefix(folder, h.DocumentRoot+"/"); inside && h.DocumentRoot != "" {
		return "REQUEST_FILENAME", prefixPattern("/" + below), true
	}
	for _, a := range h.Paths {
		if a.Regexp == nil && strings.TrimSuffix(a.Path, "/") == folder {
			return "REQUEST_FILENAME", prefixPattern(a.URL), true
		}
	}
	return "", "", false
}

// prefixPattern matches a URL path and what is below it, as <Location> does.
func prefixPattern(prefix string) string {
	if strings.HasSuffix(prefix, "/") {
		return "^" + GlobPattern(prefix)
	}
	return "^" + GlobPattern(prefix) + "(?:/|$)"
}

// GlobPattern is the regular expression of an fnmatch(3) pattern; * and ? do not match a slash.
func GlobPattern(glob string) string {
	var out strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			out.WriteString("[^/]*")
		case '?':
			out.WriteString("[^/]")
		case '[':
			end := strings.IndexByte(glob[i:], ']')
			if end < 2 {
				out.WriteString(`\[`)
				continue
			}
			class := glob[i+1 : i+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			out.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end
		default:
			out.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return out.String()
}

// pipes finds the piped programs of the SecAuditLog and SecAuditLog2 that are in force: the last of each.
func (b *builder) pipes(h *Host) {
	last := map[string]seclang.Directive{}
	for _, d := range h.Sec {
		if name := strings.ToLower(d.Name); (name == "secauditlog" || name == "secauditlog2") && len(d.Args) == 1 {
			last[name] = d
		}
	}
	for _, name := range []string{"secauditlog", "secauditlog2"} {
		d, ok := last[name]
		if !ok || !strings.HasPrefix(d.Args[0], "|") {
			continue
		}
		if p, ok := b.pipe(d); ok {
			h.Pipes = append(h.Pipes, p)
		}
	}
}

func (b *builder) pipe(d seclang.Directive) (Pipe, bool) {
	command := strings.TrimLeft(d.Args[0], "|$") // "||" and "|$" say with or without a shell; we never use one
	p := Pipe{Directive: d.Name, Command: strings.TrimSpace(command), File: d.File, Line: d.Line}
	ds, err := seclang.Lex(d.File, []byte("x "+command))
	if err != nil || len(ds) != 1 || len(ds[0].Args) == 0 {
		b.errorf(d, "%s: found %q, expected a program and its arguments after |", d.Name, d.Args[0])
		return p, false
	}
	p.Program, p.Args = ds[0].Args[0], ds[0].Args[1:]
	rest, mlogc := mlogcProgram(p.Program, p.Args)
	if !mlogc {
		return p, true
	}
	var files []string
	for _, arg := range rest {
		if !strings.HasPrefix(arg, "-") {
			files = append(files, arg)
		}
	}
	if len(files) != 1 {
		b.errorf(d, "%s: found %q, expected mlogc and its configuration file", d.Name, d.Args[0])
		return p, false
	}
	p.Mlogc, p.Conf = true, b.cfg.path(files[0])
	return p, true
}
