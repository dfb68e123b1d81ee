package body

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/antchfx/xmlquery"
	"github.com/antchfx/xpath"
)

// XPath is a compiled expression; it is safe for concurrent use.
type XPath struct {
	expr *xpath.Expr
	// plain expressions find each node once and in order by themselves.
	plain bool
	// nothing is true for expressions over nodes that documents do not keep.
	nothing bool
	// costly expressions take the library time that grows with the square of the number of nodes.
	costly bool
}

var costlyXPath = regexp.MustCompile(`following|preceding|last\s*\(|position\s*\(|\[\s*[0-9]+\s*\]`)

// maxCostlyNodes is how large a document may be for costly expressions: about a second of work.
const maxCostlyNodes = 4000

// CompileXPath compiles an expression such as "/*" or "//@*". namespaces maps
// the prefixes that xmlns actions declared.
func CompileXPath(expression string, namespaces map[string]string) (*XPath, error) {
	e, err := xpath.CompileWithNS(expression, namespaces)
	if err != nil {
		return nil, fmt.Errorf("XPath %q: %w", expression, err)
	}
	x := &XPath{expr: e, plain: expression == "/*" || expression == "//@*" || expression == "//*"}
	// Processing instructions are for the parser, not for the application: they are not part of the document here, and the
	// library would take the test for node().
	x.nothing = strings.Contains(expression, "processing-instruction(")
	x.costly = costlyXPath.MatchString(expression)
	return x, nil
}

// Select evaluates an expression and returns the text of each node that it
// finds, once each and in document order: of an element all text inside it, as
// XML:/* of ModSecurity has it. Names are the names of the nodes.
func (x *XML) Select(q *XPath) (found []Arg, err error) {
	if x == nil || x.root == nil || q.nothing {
		return nil, nil
	}
	if q.costly && x.nodes > maxCostlyNodes {
		return nil, fmt.Errorf("XPath %s: not evaluated over %d nodes, more than %d", q.expr, x.nodes, maxCostlyNodes)
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
		if !q.plain {
			return x.nodeSet(v), nil
		}
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

// place is where a node stands: its number in document order, and of an attribute its name.
type place struct {
	node int
	attr xml.Name
}

// nodeSet makes a set in document order of what the library finds: it repeats nodes that several steps lead to, and goes
// backwards along reverse axes.
func (x *XML) nodeSet(v *xpath.NodeIterator) []Arg {
	x.once.Do(x.number)
	type hit struct {
		at  place
		arg Arg
	}
	var hits []hit
	seen := map[place]bool{}
	for v.MoveNext() {
		n := v.Current()
		var at place
		if nav, ok := n.(*xmlquery.NodeNavigator); ok {
			at.node = x.order[nav.Current()]
		}
		if n.NodeType() == xpath.AttributeNode {
			at.attr = xml.Name{Space: n.Prefix(), Local: n.LocalName()}
		}
		if !seen[at] {
			seen[at] = true
			hits = append(hits, hit{at, Arg{Name: n.LocalName(), Value: n.Value(), Offset: -1}})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at.node - b.at.node })
	out := make([]Arg, len(hits))
	for i := range hits {
		out[i] = hits[i].arg
	}
	return out
}

// number gives each node its place in the document.
func (x *XML) number() {
	x.order = map[*xmlquery.Node]int{}
	for n := x.root; n != nil; n = nextNode(n) {
		x.order[n] = len(x.order)
	}
}

func nextNode(n *xmlquery.Node) *xmlquery.Node {
	if n.FirstChild != nil {
		return n.FirstChild
	}
	for ; n != nil; n = n.Parent {
		if n.NextSibling != nil {
			return n.NextSibling
		}
	}
	return nil
}

// prefixOf is the prefix that a start tag came with. An element of a default namespace gets one too, or a name without
// prefix in an expression would find it: such a name means no namespace (XPath 1.0, 2.3).
func prefixOf(raw, namespace string) string {
	if namespace == "" {
		return ""
	}
	name := strings.TrimPrefix(raw, "<")
	if end := strings.IndexAny(name, " \t\r\n/>"); end >= 0 {
		name = name[:end]
	}
	if prefix, _, found := strings.Cut(name, ":"); found {
		return prefix
	}
	return "default"
}
