package gate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// table is one generation of configuration, compiled. It is immutable.
type table struct {
	config       *config.Config
	sites        map[*config.Host]*site
	secure       map[uint16]*tls.Config // by port
	headTimeout  time.Duration
	ioTimeout    time.Duration // of one read or write
	idleTimeout  time.Duration
	keepAliveOff bool
}

// site is one virtual host, compiled.
type site struct {
	Site
	settings seclang.Settings
	phases   [6]bool // phases that have rules

	root     *folder // nil: nothing to serve
	paths    []config.PathAlias
	passes   []*pass
	reverses []config.ProxyReverse
	plain    *merged // what holds without sections
	sections []*section
	logs     []*accessLog
	guardian Guardian // nil: none
	setsEnv  bool
	limits   limits
	// readsBody says that the rules must have the request body before the upstream gets it.
	readsBody bool
	// keepRequest and keepResponse say that parts of the audit log may want the bodies.
	keepRequest, keepResponse bool
	signature                 string
	logLevel                  int           // what of its own messages the rules are told
	ioTimeout                 time.Duration // of one read of a body
}

type limits struct {
	line, field, fields int // 0 = none
	requests            int // per connection
}

func (g *Gate) newTable(s Sites) (*table, error) {
	t := &table{config: s.Config, sites: map[*config.Host]*site{}, secure: map[uint16]*tls.Config{}}
	var errs []error
	add := func(h *config.Host) {
		if _, ok := t.sites[h]; ok || h == nil {
			return
		}
		site, err := g.newSite(s.Site(h))
		if err != nil {
			errs = append(errs, err)
			return
		}
		site.guardian = s.Guardian
		t.sites[h] = site
	}
	add(s.Config.Main)
	for _, h := range s.Config.Hosts {
		add(h)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	errs = append(errs, g.secureTable(t))
	main := s.Config.Main.Timeouts
	t.ioTimeout = firstPositive(main.Request, time.Minute)
	t.headTimeout, t.idleTimeout, t.keepAliveOff = 20*time.Second, 15*time.Second, main.KeepAliveOff
	if main.Request > 0 {
		t.headTimeout = min(main.Request, time.Minute)
	}
	if main.KeepAlive > 0 {
		t.idleTimeout = main.KeepAlive
	}
	return t, errors.Join(errs...)
}

func (g *Gate) newSite(in Site) (*site, error) {
	h := in.Host
	s := &site{Site: in, paths: h.Paths, reverses: h.Reverses, limits: newLimits(h), ioTimeout: firstPositive(h.Timeouts.Request, time.Minute), logLevel: apacheLevel(h.LogLevel)}
	if in.Engine != nil {
		s.settings = in.Engine.Settings()
		for _, r := range in.Engine.Rules() {
			if r.Phase >= 1 && r.Phase <= 5 {
				s.phases[r.Phase] = true
			}
		}
		audited := in.Handle != nil && s.settings.AuditEngine != seclang.ModeOff
		s.readsBody = readsBody(&s.settings, in.Engine.Rules())
		if audited && s.settings.RequestBodyAccess && strings.ContainsAny(s.settings.AuditLogParts, "IJ") {
			s.readsBody = true // only the engine can make these parts
		}
		s.keepRequest = audited && strings.ContainsAny(s.settings.AuditLogParts, "CIJ")
		s.keepResponse = audited && strings.Contains(s.settings.AuditLogParts, "E")
		s.signature = s.settings.ServerSignature
	}
	var errs []error
	for _, p := range h.Proxies {
		compiled, err := newPass(h, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", p.File, p.Line, err))
			continue
		}
		s.passes = append(s.passes, compiled)
	}
	s.plain = mergeSection(&merged{}, &h.Defaults)
	for _, sec := range h.Sections {
		s.sections = append(s.sections, newSection(sec))
		s.setsEnv = s.setsEnv || len(sec.SetEnv) > 0
	}
	s.setsEnv = s.setsEnv || len(h.Defaults.SetEnv) > 0
	switch {
	case h.Builtin:
		s.root = builtinFolder()
	case h.DocumentRoot != "":
		s.root = &folder{path: h.DocumentRoot}
		if _, err := os.Stat(h.DocumentRoot); err != nil {
			// As Apache: a missing folder is a warning, every request to it a 404.
			g.log.Warn("document root cannot be read", "host", h.Name, "file", h.File, "line", h.Line, "error", err)
		}
	}
	for _, l := range h.CustomLogs {
		log, err := g.logs.open(l)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: CustomLog: %w", h.File, h.Line, err))
			continue
		}
		s.logs = append(s.logs, log)
	}
	return s, errors.Join(errs...)
}

// readsBody says whether the request body has to wait for phase 2: access is on, perhaps by a ctl or because nothing says
// that it is off, and some rule may read it. The question is put to the rules' text: a name that is mentioned without being read costs a buffer, not a request
// that slips through.
func readsBody(s *seclang.Settings, rules []seclang.RuleView) bool {
	access, reads := s.RequestBodyAccess || !s.Set("SecRequestBodyAccess"), s.StreamInBody
	if s.Set("SecRequestBodyLimit") && s.Set("SecRequestBodyLimitAction") && s.RequestBodyLimitAction == seclang.LimitReject {
		reads = true // a limit holds whether or not rules read what is within it
	}
	names := []string{"ARGS", "FILES", "MULTIPART", "REQBODY", "REQUEST_BODY", "XML", "STREAM_INPUT", "FULL_REQUEST", "INBOUND_DATA", "URLENCODED", "EXEC:", "INSPECTFILE", "SANITI"}
	for i := range rules {
		raw := strings.ToUpper(rules[i].Raw)
		access = access || strings.Contains(raw, "REQUESTBODYACCESS")
		reads = reads || rules[i].Kind == "SecRuleScript" || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(raw, n) })
	}
	return access && reads
}

func newLimits(h *config.Host) limits {
	// Apache's defaults; a negative value in the configuration means none.
	pick := func(value, byDefault int) int {
		switch {
		case value == 0:
			return byDefault
		case value < 0:
			return 0
		}
		return value
	}
	l := limits{
		line:     pick(h.Limits.LineBytes, 8190),
		field:    pick(h.Limits.FieldBytes, 8190),
		fields:   pick(h.Limits.Fields, 100),
		requests: h.Timeouts.MaxKeepAlive,
	}
	return l
}

// secureTable makes the TLS settings of each port whose hosts speak TLS.
func (g *Gate) secureTable(t *table) error {
	var errs []error
	for _, p := range t.config.Ports() {
		if !p.TLS || p.Honeytrap {
			continue
		}
		certificates := map[*config.Host][]tls.Certificate{}
		lowest := uint16(tls.VersionTLS12)
		for _, h := range p.Hosts {
			for _, pair := range h.TLS.Pairs {
				c, err := loadPair(pair)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s:%d: %w", h.TLS.File, h.TLS.Line, err))
					continue
				}
				certificates[h] = append(certificates[h], c)
			}
			if len(h.TLS.Pairs) == 0 && g.cfg.Certificate == nil {
				errs = append(errs, fmt.Errorf("%s:%d: found TLS without a certificate, expected SSLCertificateFile", h.File, h.Line))
			}
			if h.TLS.MinVersion != 0 {
				lowest = h.TLS.MinVersion
			}
		}
		port, config := p.Port, t.config
		t.secure[p.Port] = &tls.Config{
			MinVersion: lowest,
			NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				local := addrPort(hello.Conn.LocalAddr())
				h := config.HostFor(netip.AddrPortFrom(local.Addr(), port), hello.ServerName)
				own := certificates[h]
				for i := range own {
					if hello.SupportsCertificate(&own[i]) == nil {
						return &own[i], nil
					}
				}
				if len(own) > 0 {
					return &own[0], nil
				}
				if g.cfg.Certificate != nil {
					return g.cfg.Certificate(hello)
				}
				return nil, errors.New("no certificate for this host")
			},
		}
	}
	return errors.Join(errs...)
}

func loadPair(pair config.KeyPair) (tls.Certificate, error) {
	chain, err := os.ReadFile(pair.Certificate)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("SSLCertificateFile: %w", err)
	}
	key := chain // Apache too looks for the key in the certificate's file
	if pair.Key != "" {
		if key, err = os.ReadFile(pair.Key); err != nil {
			return tls.Certificate{}, fmt.Errorf("SSLCertificateKeyFile: %w", err)
		}
	}
	if pair.Chain != "" {
		more, err := os.ReadFile(pair.Chain)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("SSLCertificateChainFile: %w", err)
		}
		chain = append(append(chain, '\n'), more...)
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return c, fmt.Errorf("certificate %s: %w", pair.Certificate, err)
	}
	return c, nil
}

// rest closes the idle connections to upstreams of a generation that is over. Those in use end within IdleConnTimeout.
func (t *table) rest() {
	if t == nil {
		return
	}
	for _, s := range t.sites {
		for _, p := range s.passes {
			if p.transport != nil {
				p.transport.CloseIdleConnections()
			}
		}
	}
}

// site chooses the virtual host.
func (t *table) site(local netip.AddrPort, name string) *site {
	return t.sites[t.config.HostFor(local, name)]
}

// speaksProxy says whether a connection begins with a PROXY header: RemoteIPProxyProtocol is on for the port, and the
// peer is a proxy that the host names.
func (t *table) speaksProxy(local, peer netip.AddrPort) bool {
	remote := &t.config.HostFor(local, "").RemoteIP
	return remote.ProxyProtocol && proxyKind(remote, peer.Addr()) != stranger
}

func (t *table) tlsFor(local netip.AddrPort) *tls.Config { return t.secure[local.Port()] }

// overLimits checks LimitRequestLine, -FieldSize and -Fields; 0 is within.
func (l *limits) overLimits(raw []byte, r *http.Request) (status int) {
	if raw == nil {
		return l.overParsed(r)
	}
	lines := 0
	for i := 0; len(raw) > 0; i++ {
		n := bytes.IndexByte(raw, '\n')
		if n < 0 { // the last line: the empty one after it is not part of raw
			n = len(raw)
		}
		switch {
		case i == 0 && l.line > 0 && n > l.line:
			return http.StatusRequestURITooLong
		case i > 0 && l.field > 0 && n > l.field:
			return http.StatusBadRequest
		}
		lines = i
		raw = raw[min(n+1, len(raw)):]
	}
	if l.fields > 0 && lines > l.fields {
		return http.StatusBadRequest
	}
	return 0
}

func (l *limits) overParsed(r *http.Request) int {
	if l.line > 0 && len(r.RequestURI) > l.line {
		return http.StatusRequestURITooLong
	}
	n := 0
	for name, values := range r.Header {
		for _, v := range values {
			n++
			if l.field > 0 && len(name)+len(v) > l.field {
				return http.StatusBadRequest
			}
		}
	}
	if l.fields > 0 && n > l.fields {
		return http.StatusBadRequest
	}
	return 0
}
