package seclang

import "errors"

// script is a compiled Lua file.
type script struct{ path string }

func (c *compiler) loadScript(path string) *script {
	c.fail(errors.New("Lua scripts are not loaded"))
	return &script{path}
}

func (c *compiler) newExec(string) (step, error) { return nil, errors.New("exec is not loaded") }

func (tx *Transaction) runScript(*rule) bool { return false }
