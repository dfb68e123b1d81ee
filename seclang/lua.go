package seclang

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"github.com/trapline/trapline/seclang/transform"
)

// luaTime bounds one run of a script: it runs inside a request.
const luaTime = 5 * time.Second

// script is a compiled Lua file of SecRuleScript, exec or @inspectFile.
type script struct {
	path  string
	proto *lua.FunctionProto
}

// loadScript compiles a Lua file once; runs share the code.
func (c *compiler) loadScript(path string) *script {
	if c.cfg.NoLua {
		c.fail(errors.New("scripts are switched off here"))
		return nil
	}
	text, err := c.cfg.ReadFile(path)
	if err != nil {
		c.fail(fmt.Errorf("read script %s: %w", path, err))
		return nil
	}
	code := string(text)
	if strings.HasPrefix(code, "#!") {
		code = "--" + code // the line that names the interpreter
	}
	chunk, err := parse.Parse(strings.NewReader(code), path)
	if err != nil {
		c.fail(fmt.Errorf("script %s: %s", path, strings.TrimSpace(err.Error())))
		return nil
	}
	proto, err := lua.Compile(chunk, path)
	if err != nil {
		c.fail(fmt.Errorf("script %s: %s", path, strings.TrimSpace(err.Error())))
		return nil
	}
	return &script{path, proto}
}

// runScript is SecRuleScript: the rule matches when main returns something; its text is the message.
func (tx *Transaction) runScript(r *rule) bool {
	began := tx.e.now()
	tx.debugf(8, "Lua: Executing script: %s", plainText(r.script.path))
	text, matched, err := r.script.call(tx, r, nil)
	tx.debugScript(text, matched, began)
	if err != nil {
		tx.operatorNote(err)
		return false
	}
	if matched {
		tx.fire(r, ref{v: vRemoteAddr, val: tx.client()}, text)
	}
	return matched
}

// call runs main of the script, with ModSecurity's table m, in a state of its own.
func (s *script) call(tx *Transaction, r *rule, args []lua.LValue) (text string, matched bool, err error) {
	l := lua.NewState(lua.Options{CallStackSize: 200, RegistrySize: 1024, RegistryMaxSize: 1 << 16, RegistryGrowStep: 4096})
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), tx.e.luaTime)
	defer cancel()
	l.SetContext(ctx)
	if os, ok := l.GetGlobal("os").(*lua.LTable); ok {
		os.RawSetString("exit", lua.LNil) // it would end the server, not the script
	}
	if text, ok := l.GetGlobal("string").(*lua.LTable); ok {
		text.RawSetString("rep", l.NewFunction(luaRepeat))
	}
	l.SetGlobal("m", tx.luaTable(l, r))
	l.Push(l.NewFunctionFromProto(s.proto))
	if err := l.PCall(0, 0, nil); err != nil {
		return "", false, fmt.Errorf("script %s: %w", s.path, err)
	}
	if l.GetGlobal("main") == lua.LNil {
		return "", false, fmt.Errorf("script %s has no function main", s.path)
	}
	if err := l.CallByParam(lua.P{Fn: l.GetGlobal("main"), NRet: 1, Protect: true}, args...); err != nil {
		return "", false, fmt.Errorf("script %s: %w", s.path, err)
	}
	text, matched = luaText(l.Get(-1))
	return text, matched, nil
}

// maxLuaRepeat is how long a text string.rep makes: the one function that turns a number of a client's into memory at once.
const maxLuaRepeat = 16 << 20

// luaRepeat is string.rep.
func luaRepeat(l *lua.LState) int {
	s, n := l.CheckString(1), max(0, int(luaNumber(l, 2)))
	if len(s) > 0 && n > maxLuaRepeat/len(s) {
		l.RaiseError("string.rep: the text would be longer than %d bytes", maxLuaRepeat)
	}
	l.Push(lua.LString(strings.Repeat(s, n)))
	return 1
}

// luaNumber is luaL_checknumber: a number, or a text that is one.
func luaNumber(l *lua.LState, at int) lua.LNumber {
	if s, ok := l.Get(at).(lua.LString); ok {
		if n := lua.LVAsNumber(s); n != 0 || strings.Trim(string(s), " 0.") == "" && strings.Contains(string(s), "0") {
			return n
		}
	}
	return l.CheckNumber(at)
}

// luaText is what lua_tostring of C makes of a value: only strings and numbers are text.
func luaText(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return fmt.Sprintf("%.14g", float64(v)), true
	}
	return "", false
}

// luaTable is m: log, getvar, getvars, setvar.
func (tx *Transaction) luaTable(l *lua.LState, r *rule) *lua.LTable {
	m := l.NewTable()
	l.SetFuncs(m, map[string]lua.LGFunction{
		"log": func(l *lua.LState) int {
			tx.e.logger.Debug("lua", "text", l.CheckString(2), "level", int(luaNumber(l, 1)), "id", tx.id)
			tx.traceNote(l.CheckString(2))
			tx.debugf(min(max(int(luaNumber(l, 1)), 1), 9), "%s", plainText(l.CheckString(2)))
			return 0
		},
		"getvar": func(l *lua.LState) int {
			vals := tx.luaVars(l.CheckString(1), luaTransforms(l, 2))
			if len(vals) == 0 {
				l.Push(lua.LNil)
			} else {
				l.Push(lua.LString(vals[0].val))
			}
			return 1
		},
		"getvars": func(l *lua.LState) int {
			out := l.NewTable()
			for _, x := range tx.luaVars(l.CheckString(1), luaTransforms(l, 2)) {
				one := l.NewTable()
				one.RawSetString("name", lua.LString(x.name()))
				one.RawSetString("value", lua.LString(x.val))
				out.Append(one)
			}
			l.Push(out)
			return 1
		},
		"setvar": func(l *lua.LState) int {
			name, value := l.CheckString(1), l.CheckString(2)
			if !tx.luaSet(name, value, r) {
				return 0
			}
			l.Push(lua.LString(value))
			return 1
		},
	})
	return m
}

// luaTransforms reads the optional argument of getvar and getvars: one name or a table of names. What is no
// transformation is left out, and none forgets those before it, as in mod_security2.
func luaTransforms(l *lua.LState, at int) (fns []transform.Func) {
	add := func(name string) {
		if strings.EqualFold(name, "none") {
			fns = nil
		} else if fn, ok := transform.Lookup(name); ok {
			fns = append(fns, fn)
		}
	}
	switch v := l.Get(at).(type) {
	case lua.LString:
		add(string(v))
	case *lua.LTable:
		for i := 1; ; i++ {
			name, ok := luaText(v.RawGetInt(i))
			if !ok {
				break
			}
			add(name)
		}
	}
	return fns
}

// luaVars resolves NAME or NAME.key, transformed; NAME:key of rules will do as well. A sign before the name, which
// counts or excludes in rules, is not looked at.
func (tx *Transaction) luaVars(name string, fns []transform.Func) []ref {
	if name != "" && (name[0] == '!' || name[0] == '&') {
		name = name[1:]
	}
	base, key := name, ""
	if i := strings.IndexAny(name, ".:"); i >= 0 {
		base, key = name[:i], name[i+1:]
	}
	v, ok := lookupVariable(base)
	if !ok {
		return nil
	}
	var out []ref
	if !v.id.keyed() {
		if val, ok := tx.scalar(v.id); ok && key == "" {
			out = append(out, ref{v: v.id, val: val})
		}
	} else {
		s := source{v: v.id, sel: selector{key: key}, slot: -1}
		tx.each(&s, func(k, val string) {
			if key == "" || strings.EqualFold(k, key) {
				out = append(out, ref{v: v.id, key: k, val: val})
			}
		})
	}
	for i := range out {
		for _, fn := range fns {
			out[i].val, _ = fn(out[i].val)
		}
	}
	return out
}

// luaSet is m.setvar: setvar of rules, with its signs and macros. It reports whether there is such a collection.
func (tx *Transaction) luaSet(name, value string, r *rule) bool {
	op := byte('=')
	if strings.HasPrefix(name, "!") {
		op, name = '!', name[1:]
	} else if strings.HasPrefix(value, "+") || strings.HasPrefix(value, "-") {
		op, value = value[0], value[1:]
	}
	return tx.setNamed(op, tx.expandText(name), tx.expandText(value), r)
}

// inspect is what @inspectFile asks for.
func (tx *Transaction) inspect(name, file string) (text string, matched bool, err error) {
	s := tx.e.scripts[name]
	if s == nil {
		return tx.runProgram(name, file)
	}
	return s.call(tx, tx.rule, []lua.LValue{lua.LString(file)})
}

// loadInspector compiles the Lua file of an @inspectFile; other programs are started when they are needed.
func (c *compiler) loadInspector(name string) {
	if !strings.EqualFold(filepath.Ext(name), ".lua") {
		if c.cfg.NoExec {
			c.fail(errors.New("@inspectFile: programs are switched off here"))
		}
		return
	}
	if c.e.scripts == nil {
		c.e.scripts = map[string]*script{}
	}
	if c.e.scripts[name] == nil {
		if s := c.loadScript(name); s != nil {
			c.e.scripts[name] = s
		}
	}
}
