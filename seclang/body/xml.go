package body

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/antchfx/xmlquery"
)

const (
	maxXMLDepth    = 256 // as libxml2
	maxXMLNodes    = 200_000
	maxXMLEntities = 64 << 10 // bytes of the values of all entities together
	maxXMLDeclared = 64       // entities
	maxXMLText     = 1 << 20  // bytes that all references expand to
)

// XML is a parsed document that rules ask with XPath.
type XML struct {
	root  *xmlquery.Node
	nodes int
	once  sync.Once // guards order
	order map[*xmlquery.Node]int
}

type xmlParser struct {
	c      *Config
	r      *Result
	node   *xmlquery.Node
	depth  int
	nodes  int
	names  int
	path   []byte
	rest   string   // what the parser could not read
	starts []int    // length of path at each depth
	texts  [][]byte // text directly inside the elements of path
}

func parseXML(r *Result, text string, c *Config) {
	if text == "" {
		return
	}
	root := &xmlquery.Node{Type: xmlquery.DocumentNode}
	p := xmlParser{c: c, r: r, node: root}
	if c.XMLArgs != XMLArgsOnly {
		r.XML = &XML{root: root}
	}
	err := p.run(text)
	if r.XML != nil {
		r.XML.nodes = p.nodes
	}
	var syntax *xml.SyntaxError
	if c.Cut && (errors.Is(err, errXMLShort) || errors.As(err, &syntax) && syntax.Msg == "unexpected EOF") {
		err = p.cutOff()
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
	text, err := normalXML(text)
	if err != nil {
		return err
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // is UTF-8 by now, whatever the declaration says
	budget := maxXMLEntities
	elements, doctype := 0, false
	for first := true; ; first = false {
		at := d.InputOffset()
		tok, err := d.Token()
		raw := text[at:min(d.InputOffset(), int64(len(text)))]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.rest = raw
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if p.depth == 0 {
				if elements++; elements > 1 {
					return errors.New("extra content at the end of the document")
				}
			}
			if err = strictAttributes(raw, t.Attr); err == nil {
				err = p.start(t, raw)
			}
		case xml.EndElement:
			err = p.end()
		case xml.CharData:
			if err = strictText(raw); err == nil {
				err = p.text(string(t))
			}
		case xml.Comment:
			err = p.add(&xmlquery.Node{Type: xmlquery.CommentNode, Data: string(t)})
		case xml.ProcInst:
			if err := strictInstruction(t, raw, first); err != nil {
				return err
			}
		case xml.Directive:
			if doctype || elements > 0 || !strictDoctype(string(t)) {
				return errors.New("malformed document type declaration")
			}
			doctype = true
			if d.Entity, err = entities(string(t), &budget); err != nil {
				return err
			}
			if undeclaredAllowed(string(t)) {
				declareReferences(text, d.Entity)
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

// cutOff ends a document that a limit cut: what is left over of it is text, and all that is open ends.
func (p *xmlParser) cutOff() error {
	if p.depth > 0 && p.rest != "" {
		if err := p.text(p.rest); err != nil {
			return err
		}
	}
	for p.depth > 0 {
		if err := p.end(); err != nil {
			return err
		}
	}
	return nil
}

func (p *xmlParser) add(n *xmlquery.Node) error {
	if p.nodes++; p.nodes > maxXMLNodes {
		return errXMLNodes
	}
	xmlquery.AddChild(p.node, n)
	return nil
}

func (p *xmlParser) start(t xml.StartElement, raw string) error {
	if p.depth++; p.depth > maxXMLDepth {
		return errXMLDepth
	}
	n := &xmlquery.Node{Type: xmlquery.ElementNode, Data: t.Name.Local, NamespaceURI: t.Name.Space, Prefix: prefixOf(raw, t.Name.Space)}
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
