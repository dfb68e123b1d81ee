package config

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// apacheVersion is what <IfVersion> compares with: the version whose directives we follow.
const apacheVersion = "2.4.62"

// modules are the Apache modules whose directives are known here, by identifier and by source file,
// so that <IfModule> blocks written for them apply.
func modules() []string {
	return []string{
		"security2_module", "mod_security2.c", "security3_module", "mod_security3.c", "unique_id_module", "mod_unique_id.c",
		"core_module", "core.c", "so_module", "mod_so.c", "version_module", "mod_version.c",
		"proxy_module", "mod_proxy.c", "proxy_http_module", "mod_proxy_http.c", "proxy_wstunnel_module", "mod_proxy_wstunnel.c",
		"headers_module", "mod_headers.c", "setenvif_module", "mod_setenvif.c", "env_module", "mod_env.c",
		"ssl_module", "mod_ssl.c", "http2_module", "mod_http2.c", "remoteip_module", "mod_remoteip.c",
		"log_config_module", "mod_log_config.c", "dir_module", "mod_dir.c", "alias_module", "mod_alias.c", "mime_module", "mod_mime.c",
		"authz_core_module", "mod_authz_core.c", "authz_host_module", "mod_authz_host.c", "access_compat_module", "mod_access_compat.c",
	}
}

// condition evaluates a conditional section; conditional is false for other sections.
func (p *parser) condition(section string, d seclang.Directive) (holds, conditional bool) {
	arg := strings.TrimSuffix(strings.Join(d.Args, " "), ">")
	name, not := strings.CutPrefix(arg, "!")
	switch section {
	case "ifmodule":
		holds = slices.ContainsFunc(modules(), func(m string) bool { return strings.EqualFold(m, name) })
	case "ifdefine":
		_, holds = p.defs[name]
	case "ifdirective":
		holds = known(name)
	case "ifsection":
		_, holds = sectionSpec(strings.ToLower(strings.Trim(name, "<>")))
	case "iffile":
		files, err := p.opt.Glob(p.cfg.path(name))
		holds = err == nil && len(files) > 0
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.warnf(d, "%s cannot be looked at, so the section is skipped: %v", name, err)
		}
	case "ifversion":
		return p.version(d), true
	default:
		return false, false
	}
	if name == "" {
		p.errorf(d, "<%s>: found nothing, expected a name", sectionTitle(section))
	}
	return holds != not, true
}

// version evaluates <IfVersion [[!]operator] version>.
func (p *parser) version(d seclang.Directive) bool {
	args := slices.Clone(d.Args)
	if n := len(args); n > 0 {
		args[n-1] = strings.TrimSuffix(args[n-1], ">")
	}
	op, not := "=", false
	if len(args) == 2 {
		op, not = strings.CutPrefix(args[0], "!")
		args = args[1:]
	}
	if len(args) != 1 {
		p.errorf(d, "<IfVersion>: found %s, expected an operator and a version such as \">= 2.4\"", strings.Join(d.Args, " "))
		return false
	}
	c, ok := compareVersion(apacheVersion, args[0])
	if !ok {
		p.errorf(d, "<IfVersion>: found %q, expected a version such as 2.4 or 2.4.50", args[0])
		return false
	}
	var holds bool
	switch op {
	case "=", "==":
		holds = c == 0
	case ">":
		holds = c > 0
	case ">=":
		holds = c >= 0
	case "<":
		holds = c < 0
	case "<=":
		holds = c <= 0
	default:
		p.errorf(d, "<IfVersion>: found the operator %q, expected =, ==, >, >=, < or <=", op)
	}
	return holds != not
}

// compareVersion compares as many numbers as the second version has.
func compareVersion(ours, other string) (order int, ok bool) {
	a := strings.Split(ours, ".")
	for i, text := range strings.Split(other, ".") {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || i >= len(a) {
			return 0, false
		}
		m, _ := strconv.ParseUint(a[i], 10, 16)
		if order == 0 {
			order = cmp.Compare(m, n)
		}
	}
	return order, true
}

// sectionTitle is the usual spelling of a section's name.
func sectionTitle(name string) string {
	if s, ok := sectionSpec(name); ok {
		return s.name
	}
	for _, c := range []string{"IfModule", "IfDefine", "IfVersion", "IfFile", "IfDirective", "IfSection"} {
		if strings.EqualFold(c, name) {
			return c
		}
	}
	return name
}
