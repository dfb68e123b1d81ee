package body

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/antchfx/xmlquery"
	"github.com/antchfx/xpath"
	"golang.org/x/net/html/charset"
)

const (
	maxXMLDepth    = 256 // as libxml2
	maxXMLNodes    = 200_000
	maxXMLEntities = 64 << 10 // bytes of the values of all entities together
	maxXMLDeclared = 64       // entities
	maxXMLText     = 1 << 20  // bytes that all references expand to
)

// XML is a parsed document that rules ask with XPath.
type XML struct{ root *xmlquery.Node }

// XPath is a compiled expression; it is safe for concurrent use.
type XPath struct {
	expr *xpath.Expr
}

// CompileXPath compiles an expression such as "/*" or "//@*". namespaces maps
// the prefixes that xmlns actions declared.
func CompileXPath(expression string, namespaces map[string]string) (*XPath, error) {
	e, err := xpath.CompileWithNS(expression, namespaces)
	if err != nil {
		return nil, fmt.Errorf("XPath %q: %w", expression, err)
	}
	return &XPath{expr: e}, nil
}

// Select evaluates an expression and returns the text of each node that it
// finds, in document order: of an element all text inside it, as XML:/* of
// ModSecurity has it. Names are the names of the nodes.
func (x *XML) Select(q *XPath) (found []Arg, err error) {
	if x == nil || x.root == nil {
		return nil, nil
	}
	// The library panics where an expression and a document do not go together
	// (functions over types they do not take); the document is the attacker's.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("XPath %s: %v", q.expr, p)
		}
	}()
	switch v := q.expr.Evaluate(xmlquery.CreateXPathNavigator(x.root)).(type) {
	case *xpath.NodeIterator:
		for v.MoveNext() {
			found = append(found, Arg{Name: v.Current().LocalName(), Value: v.Current().Value(), Offset: -1})
		}
	case string:
		found = append(found, Arg{Value: v, Offset: -1})
	case float64, bool:
		found = append(found, Arg{Value: fmt.Sprint(v), Offset: -1})
	}
	return found, nil
}

type xmlParser struct {
	c      *Config
	r      *Result
	node   *xmlquery.Node
	depth  int
	nodes  int
	names  int
	path   []byte
	starts []int    // length of path at each depth
	texts  [][]byte // text directly inside the elements of path
}

func parseXML(r *Result, text string, c *Config) {
	if strings.TrimSpace(text) == "" {
		return
	}
	root := &xmlquery.Node{Type: xmlquery.DocumentNode}
	p := xmlParser{c: c, r: r, node: root}
	if c.XMLArgs != XMLArgsOnly {
		r.XML = &XML{root: root}
	}
	err := p.run(text)
	var syntax *xml.SyntaxError
	if c.Cut && (errors.Is(err, errXMLShort) || errors.As(err, &syntax) && syntax.Msg == "unexpected EOF") {
		err = nil
	}
	if err != nil {
		r.Error = "XML parsing error: " + err.Error()
	}
}

var (
	errXMLDepth = errors.New("document is nested too deep")
	errXMLNodes = errors.New("document has too many nodes")
	errXMLShort = errors.New("document ends early")
	errXMLNames = errors.New("names over the limit")
	errXMLArgs  = errors.New("more arguments than SecArgumentsLimit")
)

func (p *xmlParser) run(text string) error {
	text, wide := normalXML(text)
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		if wide {
			return r, nil // is UTF-8 by now, whatever the declaration says
		}
		return charset.NewReaderLabel(label, r)
	}
	budget := maxXMLEntities
	elements := 0
	for first := true; ; first = false {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if p.depth == 0 {
				if elements++; elements > 1 {
					return errors.New("extra content at the end of the document")
				}
			}
			err = p.start(t)
		case xml.EndElement:
			err = p.end()
		case xml.CharData:
			err = p.text(string(t))
		case xml.Comment:
			err = p.add(&xmlquery.Node{Type: xmlquery.CommentNode, Data: string(t)})
		case xml.ProcInst:
			if t.Target == "xml" && !first {
				return errors.New("XML declaration is not at the start of the document")
			}
		case xml.Directive:
			if d.Entity == nil {
				d.Entity = entities(string(t), &budget)
			}
			if budget <= 0 || !affordable(text, d.Entity) {
				return errors.New("entities expand over the limit")
			}
		}
		if err != nil {
			return err
		}
	}
	if elements == 0 || p.depth > 0 {
		return errXMLShort
	}
	return nil
}

// normalXML makes of a document what encoding/xml takes: UTF-8 without a byte
// order mark, of version 1.0. wide reports that it was UTF-16.
func normalXML(text string) (out string, wide bool) {
	switch {
	case strings.HasPrefix(text, "\xef\xbb\xbf"):
		text = text[3:]
	case strings.HasPrefix(text, "\xff\xfe"):
		text, wide = fromUTF16(text[2:], binary.LittleEndian), true
	case strings.HasPrefix(text, "<\x00"):
		text, wide = fromUTF16(text, binary.LittleEndian), true
	case strings.HasPrefix(text, "\xfe\xff"):
		text, wide = fromUTF16(text[2:], binary.BigEndian), true
	case strings.HasPrefix(text, "\x00<"):
		text, wide = fromUTF16(text, binary.BigEndian), true
	}
	const head = "<?xml version="
	if strings.HasPrefix(text, head) && len(text) > len(head)+5 && text[len(head)+1:len(head)+4] == "1.1" {
		// 1.1 only allows more characters; encoding/xml would refuse it unseen.
		text = text[:len(head)+1] + "1.0" + text[len(head)+4:]
	}
	return text, wide
}

func fromUTF16(s string, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(s)/2)
	for ; len(s) >= 2; s = s[2:] {
		units = append(units, order.Uint16([]byte(s[:2])))
	}
	return string(utf16.Decode(units))
}

func (p *xmlParser) add(n *xmlquery.Node) error {
	if p.nodes++; p.nodes > maxXMLNodes {
		return errXMLNodes
	}
	xmlquery.AddChild(p.node, n)
	return nil
}

func (p *xmlParser) start(t xml.StartElement) error {
	if p.depth++; p.depth > maxXMLDepth {
		return errXMLDepth
	}
	n := &xmlquery.Node{Type: xmlquery.ElementNode, Data: t.Name.Local, NamespaceURI: t.Name.Space}
	if p.nodes += len(t.Attr); p.nodes > maxXMLNodes {
		return errXMLNodes
	}
	names := make(map[xml.Name]bool, len(t.Attr))
	for _, a := range t.Attr {
		if names[a.Name] {
			return errors.New("attribute " + a.Name.Local + " is there twice")
		}
		names[a.Name] = true
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue // a declaration is no attribute in XPath
		}
		n.Attr = append(n.Attr, xmlquery.Attr{Name: a.Name, Value: a.Value, NamespaceURI: a.Name.Space})
	}
	if err := p.add(n); err != nil {
		return err
	}
	p.node = n
	p.starts = append(p.starts, len(p.path))
	if len(p.path) == 0 {
		p.path = append(p.path, "xml"...)
	}
	p.path = append(append(p.path, '.'), t.Name.Local...)
	p.texts = append(p.texts, nil)
	return nil
}

func (p *xmlParser) end() error {
	p.depth--
	p.node = p.node.Parent
	top := len(p.starts) - 1
	text := string(p.texts[top])
	if p.c.XMLArgs != XMLArgsOff && strings.TrimSpace(text) != "" {
		if len(p.r.Args) >= p.c.ArgumentsLimit {
			p.r.TooManyArgs = true
			return errXMLArgs
		}
		if p.names += len(p.path); p.names > maxNames {
			return errXMLNames
		}
		p.r.Args = append(p.r.Args, Arg{Name: string(p.path), Value: text, Offset: -1})
	}
	p.path = p.path[:p.starts[top]]
	p.starts, p.texts = p.starts[:top], p.texts[:top]
	return nil
}

func (p *xmlParser) text(s string) error {
	if p.depth == 0 {
		if strings.TrimSpace(s) != "" {
			return errors.New("text outside of the root element")
		}
		return nil
	}
	if p.c.XMLArgs != XMLArgsOff {
		p.texts[len(p.texts)-1] = append(p.texts[len(p.texts)-1], s...)
	}
	return p.add(&xmlquery.Node{Type: xmlquery.TextNode, Data: s})
}

// affordable reports whether the text with its references replaced stays
// within reason: one long entity referred to often is a bomb as well.
func affordable(text string, entities map[string]string) bool {
	total := 0
	for name, value := range entities {
		total += strings.Count(text, "&"+name+";") * len(value)
	}
	return total <= maxXMLText && len(entities) <= maxXMLDeclared
}

// entities reads the internal entities that a DOCTYPE declares, so that rules
// see what a back end will see. External ones (SYSTEM, PUBLIC) are never
// fetched and stand for nothing. References inside values are expanded while
// budget, in bytes, lasts: the billion laughs end here.
func entities(doctype string, budget *int) map[string]string {
	out := map[string]string{}
	for rest := doctype; ; {
		i := strings.Index(rest, "<!ENTITY")
		if i < 0 {
			return out
		}
		rest = strings.TrimLeft(rest[i+len("<!ENTITY"):], " \t\r\n")
		end := strings.IndexAny(rest, " \t\r\n")
		if end <= 0 {
			return out
		}
		name := rest[:end]
		rest = strings.TrimLeft(rest[end:], " \t\r\n")
		if name == "%" || rest == "" {
			continue
		}
		value := ""
		if q := rest[0]; q == '"' || q == '\'' {
			v, after, found := strings.Cut(rest[1:], string(rune(q)))
			if !found {
				return out
			}
			rest = after
			value = expand(v, out, budget)
		}
		if _, dup := out[name]; !dup { // the first declaration is binding
			out[name] = value
			*budget -= len(value)
		}
		if *budget <= 0 || len(out) > maxXMLDeclared {
			return out
		}
	}
}

func expand(v string, known map[string]string, budget *int) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(v, '&')
		if i < 0 {
			b.WriteString(v)
			return b.String()
		}
		b.WriteString(v[:i])
		v = v[i:]
		end := strings.IndexByte(v, ';')
		text, found := "", false
		if end > 0 {
			text, found = known[v[1:end]]
		}
		if !found {
			b.WriteByte('&')
			v = v[1:]
			continue
		}
		if *budget -= len(text); *budget <= 0 {
			return b.String()
		}
		b.WriteString(text)
		v = v[end+1:]
	}
}
