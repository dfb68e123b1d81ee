package main

import (
	"os"

	"github.com/trapline/trapline/app"
)

type explainCmd struct {
	File    string   `arg:"" help:"Configuration or rule file." type:"path"`
	Request []string `arg:"" passthrough:"" help:"[--] [METHOD] URL and options as curl takes them: -H 'NAME: VALUE', -d BODY (@FILE reads it), --json, -F NAME=VALUE, -A AGENT, -b COOKIES, -u USER:PASSWORD ... (a whole curl command may be pasted); also --from ADDRESS (default 192.0.2.1), --tag ip.NAME=VALUE, set before the request, and for phases 3 and 4 --status CODE, --response-header 'NAME: VALUE', --response-body BODY."`
}

// Run prints phase by phase what the rules did with the request.
func (c *explainCmd) Run(w *world) error {
	q, err := question(c.Request)
	if err != nil {
		return err
	}
	q.File, q.Env = c.File, os.LookupEnv
	return app.Explain(w.ctx, w.out, q)
}
