package seclang

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// execTime bounds a program that a rule starts: it runs inside a request.
const execTime = 10 * time.Second

// execStep is exec:program or exec:script.lua.
type execStep struct {
	path   string
	script *script
}

func (c *compiler) newExec(arg string) (step, error) {
	if strings.EqualFold(filepath.Ext(arg), ".lua") {
		return &execStep{script: c.loadScript(c.path(arg))}, nil
	}
	if c.cfg.NoExec {
		return nil, errors.New("exec: programs are switched off here")
	}
	path := c.path(arg)
	if _, err := exec.LookPath(path); err != nil {
		c.warn(fmt.Sprintf("exec:%s cannot be started: %v", arg, err)) // as in mod_security2, which looks for it in each request
	}
	return &execStep{path: path}, nil
}

func (s *execStep) run(tx *Transaction, r *rule) {
	var err error
	if s.script != nil {
		_, _, err = s.script.call(tx, r, nil)
	} else {
		_, _, err = tx.runProgram(s.path, "")
	}
	if err != nil {
		tx.operatorNote(err)
	}
}

// runProgram starts a program with the request in its environment, as mod_security2 does, and reads its answer: a
// first byte other than 1 is a match.
func (tx *Transaction) runProgram(path, arg string) (text string, matched bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), execTime)
	defer cancel()
	var args []string
	if arg != "" {
		args = append(args, arg)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "MODSEC_ENGINE=" + tx.e.settings.ServerSignature,
		"REMOTE_ADDR=" + tx.client(), "UNIQUE_ID=" + tx.id, "REQUEST_METHOD=" + tx.request.method,
		"REQUEST_URI=" + noNUL(tx.request.uri), "QUERY_STRING=" + noNUL(tx.request.query),
	}
	var out bytes.Buffer
	cmd.Stdout = &limitedWriter{&out, 4096}
	if err := cmd.Run(); err != nil {
		return "", false, fmt.Errorf("run %s: %w", path, err)
	}
	if out.Len() == 0 {
		return "", false, fmt.Errorf("run %s: no output", path)
	}
	answer := strings.TrimSpace(out.String())
	return answer, !strings.HasPrefix(answer, "1"), nil
}

func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// limitedWriter keeps the first n bytes and takes the rest without keeping it.
type limitedWriter struct {
	b *bytes.Buffer
	n int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if room := w.n - w.b.Len(); room > 0 {
		w.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
