package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// Question is one request to be explained.
type Question struct {
	File, Method, URL string
	Proto             string                           // "HTTP/1.1"
	Headers           []string                         // "Name: value", in order
	Body              []byte                           // nil: none
	From              string                           // the client's address
	Tags              []string                         // "ip.malicious_client=1": set before the request
	Response          Response                         // what the site would answer
	Env               func(name string) (string, bool) // answers ${NAME} of the configuration
}

// Response is the answer that phases 3 and 4 look at.
type Response struct {
	Status  int
	Headers []string // "Name: value"; text/html unless they name a type
	Body    []byte
}

// Explain runs one request through the rules of the host that would answer it
// and prints, phase by phase, each rule that matched, on what, what it set, and the verdict.
// Nothing is kept: the collections live in memory.
func Explain(ctx context.Context, out io.Writer, q Question) (err error) {
	conf, warnings, err := loadFile(ctx, q.File, config.Options{Env: q.Env})
	if err != nil {
		return err
	}
	store, err := collection.Open(collection.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	l, err := compile(ctx, conf, warnings, store, nil, seclang.DebugOutput{})
	if err != nil {
		return err
	}
	client, err := netip.ParseAddr(q.From)
	if err != nil {
		return fmt.Errorf("--from: found %q, expected an address such as 192.0.2.1", q.From)
	}
	if err := setTags(store, client, q.Tags); err != nil {
		return err
	}
	head, local, name, err := request(conf, q)
	if err != nil {
		return err
	}
	h := conf.HostFor(local, name)
	engine := l.engines[h]
	if engine == nil {
		return fmt.Errorf("no Listen of %s opens port %d", q.File, local.Port())
	}
	kind := "real site"
	if h.Honeytrap {
		kind = "honeytrap"
	}
	fmt.Fprintf(out, "%s (%s), client %s\n", hostTitle(conf, h), kind, client)
	return explain(out, engine, h, seclang.Conn{
		Peer: netip.AddrPortFrom(client, 40000), Client: netip.AddrPortFrom(client, 40000), Server: local, ServerName: h.Name, Time: time.Now(),
	}, head, q)
}

func explain(out io.Writer, engine *seclang.Engine, h *config.Host, conn seclang.Conn, head []byte, q Question) error {
	if h.Honeytrap && h.TagConnect && engine.TagsOnConnect() {
		engine.Touch(conn)
		fmt.Fprintln(out, "connect  the completed handshake is a touch: rules that hold for a bare connection have set their tags")
	}
	tx := engine.NewTransaction(conn)
	defer tx.Close()
	t := &tracer{out: out}
	tx.Trace(t.step)
	runPhases(tx, head, q)
	switch i := tx.Interruption(); {
	case i != nil:
		fmt.Fprintf(out, "verdict: %s, status %d, by rule %d in phase %d\n", i.Action, i.Status, i.RuleID, i.Phase)
	case len(engine.Rules()) == 0:
		fmt.Fprintln(out, "verdict: passes, because this host has no rules")
	case engine.Settings().RuleEngine == seclang.ModeOff:
		fmt.Fprintln(out, "verdict: passes, because SecRuleEngine is Off")
	case t.spared != nil:
		fmt.Fprintf(out, "verdict: passes, because SecRuleEngine is DetectionOnly: else %s by rule %d\n", t.spared.Action, t.spared.ID)
	default:
		fmt.Fprintln(out, "verdict: passes")
	}
	return nil
}

// tracer prints the steps of a transaction that changed something.
type tracer struct {
	out     io.Writer
	phase   int
	decided bool              // the verdict has been printed
	spared  *seclang.RuleView // the first rule whose disruptive action was not taken because the engine only detects
}

func (t *tracer) step(s seclang.Step) {
	if s.Text == "" { // a value that was looked at; what came of it is a step of its own
		return
	}
	if s.Phase != t.phase {
		t.phase = s.Phase
		fmt.Fprintf(t.out, "phase %d\n", s.Phase)
	}
	if s.Rule == nil {
		fmt.Fprintf(t.out, "  %s\n", visible(s.Text))
		return
	}
	title := fmt.Sprintf("rule %d (%s) %s", s.Rule.ID, place(s.Rule.File, s.Rule.Line), visible(s.Message))
	if s.Member < s.Members {
		title = fmt.Sprintf("rule %d (%s), member %d of its chain of %d", s.Rule.ID, place(s.Rule.File, s.Rule.Line), s.Member, s.Members)
	}
	fmt.Fprintf(t.out, "  %s\n    %s\n", strings.TrimRight(title, " "), visible(s.Text))
	if s.Variable != "" {
		fmt.Fprintf(t.out, "    on  %s=%s\n", visible(s.Variable), visible(s.Value))
	}
	for _, c := range s.Set {
		collection, variable, _ := strings.Cut(c.Name, ":")
		fmt.Fprintf(t.out, "    set %s.%s=%s\n", strings.ToLower(collection), visible(variable), visible(c.Value))
	}
	if s.Member == s.Members {
		t.verdict(s)
	}
}

// verdict prints what the rule's disruptive action did.
func (t *tracer) verdict(s seclang.Step) {
	switch action := s.Rule.Action; {
	case s.Verdict != nil && !t.decided: // it stands in the steps of later rules too
		t.decided = true
		fmt.Fprintf(t.out, "    -> %s %d\n", s.Verdict.Action, s.Verdict.Status)
	case action == "" || action == "pass" || s.Verdict != nil:
	case action == "allow":
		fmt.Fprintln(t.out, "    -> allow")
	case s.Phase == 5:
		fmt.Fprintf(t.out, "    -> %s comes too late: the answer is out\n", action)
	default:
		fmt.Fprintf(t.out, "    -> %s not taken: SecRuleEngine is DetectionOnly\n", action)
		if t.spared == nil {
			t.spared = s.Rule
		}
	}
}

// runPhases takes the request through all phases, and the answer too when nothing intercepts.
func runPhases(tx *seclang.Transaction, head []byte, q Question) {
	defer tx.Logging()
	tx.RequestHead(head)
	if tx.RequestHeaders() != nil {
		return
	}
	if len(q.Body) > 0 {
		if _, i := tx.WriteRequestBody(q.Body); i != nil {
			return
		}
	}
	if tx.RequestBody() != nil {
		return
	}
	tx.ResponseLine(q.Response.Status, "HTTP/1.1")
	typed := false
	for _, h := range q.Response.Headers {
		name, value, _ := strings.Cut(h, ":")
		typed = typed || strings.EqualFold(strings.TrimSpace(name), "Content-Type")
		tx.AddResponseHeader(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if !typed {
		tx.AddResponseHeader("Content-Type", "text/html")
	}
	if tx.ResponseHeaders() != nil {
		return
	}
	if len(q.Response.Body) > 0 && tx.WantsResponseBody() {
		if _, i := tx.WriteResponseBody(q.Response.Body); i != nil {
			return
		}
	}
	tx.ResponseBody()
}

// request makes the bytes of the request and finds the port that it goes to.
func request(conf *config.Config, q Question) (head []byte, local netip.AddrPort, name string, err error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" && !strings.HasPrefix(q.URL, "/") {
		return nil, local, "", fmt.Errorf("found %q, expected a URL such as http://localhost:8000/index.php?a=1 or a path", q.URL)
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case u.Host != "":
		port = "80"
	case len(conf.Listen) > 0: // a path alone: the first port of the real site
		port = strconv.Itoa(int(firstSite(conf)))
	default: // rules alone
		port = "80"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, local, "", fmt.Errorf("found port %q in %q, expected a number to 65535", port, q.URL)
	}
	name = u.Hostname()
	target := strings.TrimPrefix(q.URL, u.Scheme+"://"+u.Host)
	if target == "" {
		target = "/"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", q.Method, target, q.Proto)
	given := map[string]bool{}
	for _, h := range q.Headers {
		n, v, ok := strings.Cut(h, ":")
		if !ok {
			return nil, local, "", fmt.Errorf("-H: found %q, expected NAME: VALUE", h)
		}
		given[strings.ToLower(n)] = true
		fmt.Fprintf(&b, "%s: %s\r\n", n, strings.TrimSpace(v))
	}
	for _, h := range []struct{ name, value string }{{"Host", u.Host}, {"User-Agent", "curl/8.0"}, {"Accept", "*/*"}} {
		if !given[strings.ToLower(h.name)] && h.value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", h.name, h.value)
		}
	}
	if q.Body != nil && !given["content-length"] {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.Body))
	}
	return []byte(b.String()), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(number)), name, nil
}

// firstSite is the first port of the real site, or the first port at all.
func firstSite(conf *config.Config) uint16 {
	for _, p := range conf.Ports() {
		if !p.Honeytrap {
			return p.Port
		}
	}
	return conf.Listen[0].Port
}

// setTags fills the client's collections before the request.
func setTags(store *collection.Store, client netip.Addr, tags []string) error {
	for _, t := range tags {
		where, value, _ := strings.Cut(t, "=")
		name, variable, ok := strings.Cut(where, ".")
		if !ok || !strings.EqualFold(name, "ip") {
			return fmt.Errorf("--tag: found %q, expected ip.NAME=VALUE", t)
		}
		store.Apply("ip", client.String(), time.Hour, time.Now(), []collection.Change{{Op: collection.OpSet, Name: variable, Text: value}})
	}
	return nil
}
