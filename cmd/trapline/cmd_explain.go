package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/trapline/trapline/app"
)

type explainCmd struct {
	File    string   `arg:"" help:"Configuration or rule file." type:"path"`
	Request []string `arg:"" passthrough:"" help:"[--] METHOD URL and options as curl takes them: -H 'NAME: VALUE', -d BODY (@FILE reads it), -A AGENT, -b COOKIES; also --from ADDRESS (default 192.0.2.1) and --tag ip.NAME=VALUE, set before the request."`
}

// Run prints phase by phase what the rules did with the request.
func (c *explainCmd) Run(w *world) error {
	q, err := question(c.Request)
	if err != nil {
		return err
	}
	q.File, q.Env = c.File, os.LookupEnv
	return app.Explain(w.out, q)
}

// question reads the request's arguments, options before or after METHOD and URL.
func question(args []string) (app.Question, error) {
	q := app.Question{From: "192.0.2.1"}
	var words []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" || !strings.HasPrefix(arg, "-") {
			if arg != "--" {
				words = append(words, arg)
			}
			continue
		}
		if len(args) == 0 {
			return q, fmt.Errorf("%s needs a value", arg)
		}
		value := args[0]
		args = args[1:]
		switch arg {
		case "-H", "--header":
			q.Headers = append(q.Headers, value)
		case "-A", "--user-agent":
			q.Headers = append(q.Headers, "User-Agent: "+value)
		case "-b", "--cookie":
			q.Headers = append(q.Headers, "Cookie: "+value)
		case "-d", "--data", "--data-raw":
			q.Body = value
		case "--from":
			q.From = value
		case "--tag":
			q.Tags = append(q.Tags, value)
		default:
			return q, fmt.Errorf("found %s, expected -H, -d, -A, -b, --from or --tag", arg)
		}
	}
	if len(words) != 2 {
		return q, fmt.Errorf("found %d words %q, expected METHOD and URL", len(words), words)
	}
	q.Method, q.URL = words[0], words[1]
	return q, nil
}
