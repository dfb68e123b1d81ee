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
	l := lua.NewState(lua.Options{CallStackSize: 200, RegistrySize: 1024, RegistryMaxSize: 1 << 16})
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), luaTime)
	defer cancel()
	l.SetContext(ctx)
	if os, ok := l.GetGlobal("os").(*lua.LTable); ok {
		os.RawSetString("exit", lua.LNil) // it would end the server, not the script
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
	ret := l.Get(-1)
	if ret == lua.LNil {
		return "", false, nil
	}
	return ret.String(), true, nil
}

// luaTable is m: log, getvar, getvars, setvar.
func (tx *Transaction) luaTable(l *lua.LState, r *rule) *lua.LTable {
	m := l.NewTable()
	l.SetFuncs(m, map[string]lua.LGFunction{
		"log": func(l *lua.LState) int {
			tx.e.logger.Debug("lua", "text", l.CheckString(2), "level", l.CheckInt(1), "id", tx.id)
			tx.traceNote(l.CheckString(2))
			tx.debugf(min(max(l.CheckInt(1), 1), 9), "%s", plainText(l.CheckString(2)))
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
			tx.luaSet(l.CheckString(1), l.CheckAny(2).String(), r)
			return 0
		},
	})
	return m
}

// luaTransforms reads the optional argument of getvar and getvars: a name or a table of names.
func luaTransforms(l *lua.LState, at int) (fns []transform.Func) {
	add := func(name string) {
		if fn, ok := transform.Lookup(strings.TrimSpace(name)); ok {
			fns = append(fns, fn)
		}
	}
	switch v := l.Get(at).(type) {
	case lua.LString:
		for _, n := range strings.Split(string(v), ",") {
			add(n)
		}
	case *lua.LTable:
		v.ForEach(func(_, n lua.LValue) { add(n.String()) })
	}
	return fns
}

// luaVars resolves NAME or NAME.key or NAME:key, transformed.
func (tx *Transaction) luaVars(name string, fns []transform.Func) []ref {
	base, key := name, ""
	if i := strings.IndexAny(name, ".:"); i >= 0 {
		base, key = name[:i], name[i+1:]
	}
	v, ok := lookupVariable(strings.TrimSpace(base))
	if !ok {
		return nil
	}
	var out []ref
	if !v.id.keyed() {
		if val, ok := tx.scalar(v.id); ok {
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

func (tx *Transaction) luaSet(name, value string, r *rule) {
	base, key, ok := strings.Cut(name, ".")
	if !ok {
		return
	}
	v, known := lookupVariable(base)
	if !known {
		return
	}
	s := &setvarStep{v: v.id, op: '=', slot: -1, fixed: key, name: literalMacro(key), value: literalMacro(value)}
	switch v.id {
	case vTX, vIP, vSession, vUser, vResource, vGlobal:
		if tx.debugLevel >= 3 {
			tx.debugStep(s, r)
			return
		}
		s.run(tx, r)
	}
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
