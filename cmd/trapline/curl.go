package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/app"
)

// curl is a request as the options of a curl command describe it.
type curl struct {
	q      app.Question
	method string
	words  []string
	data   [][]byte // of -d and its kin, joined with &
	query  bool     // -G: data goes into the URL
	json   bool
	form   *multipart.Writer
	parts  bytes.Buffer
}

// question reads METHOD, URL and the options of curl, in any order; a whole curl command may stand there.
func question(args []string) (app.Question, error) {
	c := &curl{q: app.Question{From: "192.0.2.1", Proto: "HTTP/1.1", Response: app.Response{Status: 200}}}
	flags, options := c.flags(), c.options()
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || arg == "--" {
			if arg != "--" {
				c.words = append(c.words, arg)
			}
			continue
		}
		if set, ok := flags[arg]; ok {
			set()
			continue
		}
		set, value := options[arg], ""
		switch {
		case set == nil && len(arg) > 2 && options[arg[:2]] != nil: // -XPOST
			set, value = options[arg[:2]], arg[2:]
		case set == nil:
			return c.q, fmt.Errorf("found %s, expected one of %s", arg, strings.Join(slices.Sorted(maps.Keys(options)), " "))
		case len(args) == 0:
			return c.q, fmt.Errorf("%s needs a value", arg)
		default:
			value, args = args[0], args[1:]
		}
		if err := set(value); err != nil {
			return c.q, fmt.Errorf("%s: %w", arg, err)
		}
	}
	return c.question()
}

// flags are the options without a value. Those that only change what curl shows or trusts change nothing here.
func (c *curl) flags() map[string]func() {
	m := map[string]func(){
		"-G": func() { c.query = true },
		"-I": func() { c.method = "HEAD" },
		"-0": func() { c.q.Proto = "HTTP/1.0" },
	}
	m["--get"], m["--head"], m["--http1.0"] = m["-G"], m["-I"], m["-0"]
	for _, name := range []string{
		"-s", "-S", "-i", "-v", "-k", "-L", "-f", "-N", "-g", "-sS", "-sk", "-si", "--silent", "--show-error", "--include", "--verbose",
		"--insecure", "--location", "--fail", "--no-buffer", "--globoff", "--compressed", "--http1.1", "--http2", "--path-as-is",
	} {
		m[name] = func() {}
	}
	return m
}

func (c *curl) options() map[string]func(string) error {
	header := func(name string) func(string) error {
		return func(v string) error {
			c.q.Headers = append(c.q.Headers, name+": "+v)
			return nil
		}
	}
	m := map[string]func(string) error{
		"-H": func(v string) error { return addHeader(&c.q.Headers, v) },
		"-A": header("User-Agent"),
		"-b": header("Cookie"),
		"-e": header("Referer"),
		"-u": func(v string) error {
			return header("Authorization")("Basic " + base64.StdEncoding.EncodeToString([]byte(v)))
		},
		"-X":               func(v string) error { c.method = v; return nil },
		"-d":               func(v string) error { return c.addData(v, true, true) },
		"--data-raw":       func(v string) error { return c.addData(v, false, false) },
		"--data-binary":    func(v string) error { return c.addData(v, true, false) },
		"--data-urlencode": c.addEncoded,
		"--json":           func(v string) error { c.json = true; return c.addData(v, true, false) },
		"-F":               c.addPart,
		"--url":            func(v string) error { c.words = append(c.words, v); return nil },
		"-o":               func(string) error { return nil },
		"-m":               func(string) error { return nil },

		"--from":            func(v string) error { c.q.From = v; return nil },
		"--tag":             func(v string) error { c.q.Tags = append(c.q.Tags, v); return nil },
		"--status":          c.setStatus,
		"--response-header": func(v string) error { return addHeader(&c.q.Response.Headers, v) },
		"--response-body": func(v string) (err error) {
			c.q.Response.Body, err = content(v, true)
			return err
		},
	}
	for long, short := range map[string]string{
		"--header": "-H", "--user-agent": "-A", "--cookie": "-b", "--referer": "-e", "--user": "-u", "--request": "-X",
		"--data": "-d", "--data-ascii": "-d", "--form": "-F", "--output": "-o", "--max-time": "-m",
	} {
		m[long] = m[short]
	}
	return m
}

func addHeader(list *[]string, v string) error {
	if !strings.Contains(v, ":") {
		return fmt.Errorf("found %q, expected 'NAME: VALUE'", v)
	}
	*list = append(*list, v)
	return nil
}

func (c *curl) setStatus(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 100 || n > 599 {
		return fmt.Errorf("found %q, expected a status from 100 to 599", v)
	}
	c.q.Response.Status = n
	return nil
}

// content is v, or what the file holds that @FILE names.
func content(v string, file bool) ([]byte, error) {
	if name, ok := strings.CutPrefix(v, "@"); ok && file {
		return os.ReadFile(filepath.Clean(name))
	}
	return []byte(v), nil
}

// addData adds to the body. As in curl, -d drops the line ends of a file.
func (c *curl) addData(v string, file, oneLine bool) error {
	b, err := content(v, file)
	if err != nil {
		return err
	}
	if oneLine && strings.HasPrefix(v, "@") {
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"), nil)
	}
	c.data = append(c.data, b)
	return nil
}

// addEncoded takes CONTENT, NAME=CONTENT, @FILE and NAME@FILE.
func (c *curl) addEncoded(v string) error {
	name, text := "", v
	if at := strings.IndexAny(v, "=@"); at >= 0 {
		name, text = v[:at], v[at+1:]
		if v[at] == '@' {
			text = v[at:]
		}
	}
	b, err := content(text, strings.HasPrefix(text, "@"))
	if err != nil {
		return err
	}
	encoded := url.QueryEscape(string(b))
	if name != "" {
		encoded = name + "=" + encoded
	}
	c.data = append(c.data, []byte(encoded))
	return nil
}

// addPart takes NAME=VALUE, NAME=@FILE and NAME=<FILE, with ;type= and ;filename= behind.
func (c *curl) addPart(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		return fmt.Errorf("found %q, expected NAME=VALUE or NAME=@FILE", v)
	}
	value, after, _ := strings.Cut(value, ";")
	params := map[string]string{}
	for p := range strings.SplitSeq(after, ";") {
		if k, v, ok := strings.Cut(p, "="); ok {
			params[strings.TrimSpace(k)] = v
		}
	}
	if c.form == nil {
		c.form = multipart.NewWriter(&c.parts)
	}
	file, upload := strings.CutPrefix(value, "@")
	text := []byte(value)
	var err error
	if upload {
		text, err = os.ReadFile(filepath.Clean(file))
	} else if from, ok := strings.CutPrefix(value, "<"); ok {
		text, err = os.ReadFile(filepath.Clean(from))
	}
	if err != nil {
		return err
	}
	head := textproto.MIMEHeader{}
	disposition := `form-data; name="` + name + `"`
	if upload || params["filename"] != "" {
		called := params["filename"]
		if called == "" {
			called = filepath.Base(file)
		}
		disposition += `; filename="` + called + `"`
		kind := mime.TypeByExtension(filepath.Ext(called))
		if kind == "" {
			kind = "application/octet-stream"
		}
		head.Set("Content-Type", kind)
	}
	if kind := params["type"]; kind != "" {
		head.Set("Content-Type", kind)
	}
	head.Set("Content-Disposition", disposition)
	w, err := c.form.CreatePart(head)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// question puts together what the options said.
func (c *curl) question() (app.Question, error) {
	if len(c.words) > 0 && c.words[0] == "curl" {
		c.words = c.words[1:]
	}
	switch len(c.words) {
	case 1:
		c.q.URL = c.words[0]
	case 2:
		c.method, c.q.URL = c.words[0], c.words[1]
	default:
		return c.q, fmt.Errorf("found %d words %q, expected METHOD and URL", len(c.words), c.words)
	}
	kind := ""
	switch {
	case c.form != nil && c.data != nil:
		return c.q, fmt.Errorf("found -d and -F, expected one of them")
	case c.form != nil:
		if err := c.form.Close(); err != nil {
			return c.q, err
		}
		c.q.Body, kind = c.parts.Bytes(), c.form.FormDataContentType()
	case c.query:
		mark := "?"
		if strings.Contains(c.q.URL, "?") {
			mark = "&"
		}
		c.q.URL += mark + string(bytes.Join(c.data, []byte("&")))
	case c.json:
		c.q.Body, kind = bytes.Join(c.data, nil), "application/json"
	case c.data != nil:
		c.q.Body, kind = bytes.Join(c.data, []byte("&")), "application/x-www-form-urlencoded"
	}
	if kind != "" && !slices.ContainsFunc(c.q.Headers, isContentType) {
		c.q.Headers = append(c.q.Headers, "Content-Type: "+kind)
	}
	if c.q.Method = c.method; c.method == "" {
		c.q.Method = "GET"
		if c.q.Body != nil {
			c.q.Method = "POST"
		}
	}
	return c.q, nil
}

func isContentType(h string) bool {
	name, _, _ := strings.Cut(h, ":")
	return strings.EqualFold(strings.TrimSpace(name), "Content-Type")
}
