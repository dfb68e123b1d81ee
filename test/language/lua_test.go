//go:build oracle && unix

package language

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
)

// luaHelp lets a script write down whatever a function of m gives.
const luaHelp = `
function text(v)
  if type(v) ~= "table" then return type(v) .. ":" .. tostring(v) end
  local s = "{"
  for i, x in ipairs(v) do s = s .. "[" .. text(x.name) .. "=" .. text(x.value) .. "]" end
  return s .. "}"
end
function try(f, ...)
  local r = {pcall(f, ...)}
  if not r[1] then return "error" end
  local s = #r - 1 .. " "
  for i = 2, #r do s = s .. text(r[i]) .. " " end
  return s
end
`

// luaScripts are the bodies of scripts, by what they try.
func luaScripts() map[string]string {
	main := func(body string) string { return luaHelp + "function main(...)\n" + body + "\nend\n" }
	scripts := map[string]string{
		"nothing": main(""), "nil": main("return nil"), "text": main(`return "found"`), "empty": main(`return ""`), "number": main("return 5"), "fraction": main("return 1.5"), "big": main("return 1e15"), "zero": main("return 0"),
		"true": main("return true"), "false": main("return false"), "table": main("return nil, 5"), "two": main(`return "a", "b"`), "quotes": main(`return "a \"b\" \\ \tc"`), "bytes": main(`return "\255\001é"`),
		"error": main(`error("no")`), "error with a table": main("error({})"), "nil call": main("nope()"), "no main": luaHelp, "main is no function": luaHelp + "main = 5\n", "error outside": luaHelp + "error('x')\nfunction main() return 'x' end\n",
		"arguments": main("return select('#', ...) .. text((...))"), "globals": luaHelp + "n = (n or 0) + 1\nfunction main() n = n + 1 return 'n=' .. n end\n", "shebang": "#!/usr/bin/lua\n" + main("return 'x'"),
		"libraries": main(`local s = "" for _, n in ipairs({"string","table","math","io","os","package","debug","coroutine","require","dofile","loadstring","load","unpack","setfenv","bit32","jit","utf8","pcall","print","m"}) do s = s .. n .. "=" .. type(_G[n]) .. " " end return s`),
		"version":   main("return _VERSION"), "members of m": main(`local k = {} for n in pairs(m) do k[#k+1] = n end table.sort(k) return table.concat(k, " ")`),
		"patterns":         main(`return string.format("%q %5.2f %s", "a'b", 1/3, ("abc123"):gsub("%d", "x"))`),
		"setvar and rules": main(`m.setvar("tx.lua", "from lua") return nil`),
	}
	calls := []string{
		`"ARGS.a"`, `"ARGS:a"`, `"ARGS"`, `"args.a"`, `"ARGS.A"`, `"ARGS.none"`, `"NOPE"`, `"NOPE.a"`, `""`, `"."`, `"REQUEST_URI"`, `"REQUEST_METHOD"`, `"request_method"`, `"REQUEST_METHOD.x"`, `"TX.set"`, `"tx.SET"`, `"TX"`, `"TX.none"`, `"REQUEST_HEADERS.User-Agent"`, `"REQUEST_HEADERS:user-agent"`, `"REQUEST_HEADERS"`,
		`"&ARGS"`, `"!ARGS.a"`, `"ARGS./a/"`, `"ARGS:/^a/"`, `"ARGS.'a'"`, `"MATCHED_VAR"`, `"MATCHED_VAR_NAME"`, `"RULE.id"`, `"IP.x"`, `"FILES"`, `"ARGS_NAMES"`, `"ARGS_GET.g"`, `"REMOTE_ADDR"`, `"REQUEST_BODY"`, `"ARGS|TX"`, `"ARGS.a.b"`, `"ARGS_COMBINED_SIZE"`, `" ARGS.a"`, `"ARGS.a "`, `"GLOBAL.x"`, `"REQUEST_COOKIES.c"`,
		`"ARGS.a", "lowercase"`, `"ARGS.a", {"lowercase", "hexEncode"}`, `"ARGS.a", "lowercase,hexEncode"`, `"ARGS.a", "nope"`, `"ARGS.a", {"nope", "lowercase"}`, `"ARGS.a", ""`, `"ARGS.a", {}`, `"ARGS.a", 5`, `"ARGS.a", nil`, `"ARGS.a", "none"`, `"ARGS.a", {"none"}`, `"ARGS.a", {"lowercase", "none"}`, `"ARGS.a", "LOWERCASE"`, `"ARGS.a", {x = "lowercase"}`, `"ARGS.a", "md5"`, `"ARGS.a", {"md5", "hexEncode"}`, `"ARGS", "lowercase"`, `"ARGS.e"`, ``, `5`, `nil`, `{}`, `true`,
	}
	for i, c := range calls {
		scripts[fmt.Sprintf("getvar(%s) #%d", c, i)] = main("return try(m.getvar, " + strings.TrimSuffix(c, ", ") + ")")
		scripts[fmt.Sprintf("getvars(%s) #%d", c, i)] = main("return try(m.getvars, " + c + ")")
		if c == "" {
			scripts[fmt.Sprintf("getvar(%s) #%d", c, i)] = main("return try(m.getvar)")
			scripts[fmt.Sprintf("getvars(%s) #%d", c, i)] = main("return try(m.getvars)")
		}
	}
	for i, c := range []string{
		`"tx.x", "1"`, `"tx.x", 5`, `"tx.x", 1.5`, `"tx.x", true`, `"tx.x", nil`, `"tx.x", "+1"`, `"tx.x", "%{REQUEST_METHOD}"`, `"TX.X", "up"`, `"tx.x.y", "1"`, `"!tx.x", "1"`, `"ARGS.x", "1"`, `"nope.x", "1"`, `"tx.x", ""`, `"tx.x", "a=b"`, `"tx.x=y", "1"`, `"tx.x", {}`, `"tx.%{REQUEST_METHOD}", "1"`,
	} {
		scripts[fmt.Sprintf("setvar(%s) #%d", c, i)] = main("local r = try(m.setvar, " + c + `) return r .. "|" .. text(m.getvar("TX.x")) .. text(m.getvar("TX.x.y")) .. text(m.getvar("TX.GET")) .. text(m.getvar("TX.x=y"))`)
	}
	for i, c := range []string{`1, "x"`, `"x"`, `1`, ``, `9, nil`, `1, 5`, `"1", "x"`, `1, "x", "y"`, `1, {}`, `10, "%s %d"`, `-1, "x"`} {
		call := "try(m.log, " + c + ")"
		if c == "" {
			call = "try(m.log)"
		}
		scripts[fmt.Sprintf("log(%s) #%d", c, i)] = main("return " + call)
	}
	return scripts
}

// luaTolerated are the scripts that may differ, with the reason.
func luaTolerated() map[string]string {
	const (
		colon = "people write the colon of rules"
		whole = "TX without a name is all of it, as in rules of version 3"
		names = "variables have the names of the reference manual"
	)
	return map[string]string{
		`getvar("ARGS:a")`: colon, `getvar("REQUEST_HEADERS:user-agent")`: colon, `getvars("ARGS:a")`: colon, `getvars("REQUEST_HEADERS:user-agent")`: colon,
		`getvar("TX")`: whole, `getvars("TX")`: whole, `getvars("request_method")`: names, `getvars("RULE.id")`: names,
	}
}

// TestLua runs scripts as rules, as programs of exec, and as inspectors.
func TestLua(t *testing.T) {
	scripts := luaScripts()
	var names []string
	for n := range scripts {
		names = append(names, n)
	}
	slices.Sort(names)
	files := map[string]string{}
	rules := "SecAction \"id:1,phase:2,pass,nolog,setvar:tx.set=VALUE\"\n"
	for i, n := range names {
		file := fmt.Sprintf("s%d.lua", i)
		files[file] = scripts[n]
		rules += fmt.Sprintf("SecAction \"id:%d,phase:2,pass,nolog,setvar:!tx.x,setvar:!tx.x.y,setvar:!tx.GET\"\n", 5000+i)
		rules += fmt.Sprintf("SecRuleScript {{dir}}/%s \"id:%d,phase:2,pass,log,msg:'m'\"\n", file, 1000+i)
		rules += fmt.Sprintf("SecRule ARGS:a \"@inspectFile {{dir}}/%s\" \"id:%d,phase:2,pass,log,msg:'m'\"\n", file, 2000+i)
		rules += fmt.Sprintf("SecRule ARGS:a \"@rx .\" \"id:%d,phase:2,pass,log,exec:{{dir}}/%s,logdata:'%%{tx.lua}|%%{tx.x}'\"\n", 3000+i, file)
	}
	p := newPair(t, rules, files)
	body := "a=AbC&b=2&A=x&e=&g=%C3%A9"
	theirs, ours := outline(p.apache(t, []string{body})[0], p.rulesDir), outline(p.ourRecord(body), p.rulesDir)
	tolerated := luaTolerated()
	for i, n := range names {
		for _, kind := range []struct {
			name string
			id   int
		}{{"SecRuleScript", 1000 + i}, {"@inspectFile", 2000 + i}, {"exec", 3000 + i}} {
			a, b := theirs[kind.id], ours[kind.id]
			same := slices.Equal(a, b)
			plain, _, _ := strings.Cut(n, " #")
			why := tolerated[plain]
			switch {
			case same && why != "" && kind.name != "exec": // its answer goes nowhere
				t.Errorf("%s %s: no difference any more: remove the reason", kind.name, n)
			case !same && why == "":
				t.Errorf("%s %s:\n  mod_security2 %q\n  ours          %q", kind.name, n, a, b)
			}
		}
	}
}

// outline are the sentences of the rules, with {{dir}} for the directory.
func outline(r *audit.Record, dir string) map[int][]string {
	out := map[int][]string{}
	for _, m := range r.Matches {
		if m.ID != 0 {
			out[m.ID] = append(out[m.ID], strings.ReplaceAll(m.Operator, dir, "{{dir}}")+" "+m.Data)
		}
	}
	return out
}
