package body

import (
	"errors"
	"strconv"
	"strings"
)

// affordable reports whether the text with its references replaced stays
// within reason: one long entity referred to often is a bomb as well.
func affordable(text string, entities map[string]string) bool {
	total := 0
	for total <= maxXMLText {
		_, rest, found := strings.Cut(text, "&")
		if !found {
			break
		}
		text = rest
		if end := strings.IndexByte(text[:min(len(text), maxXMLName)], ';'); end > 0 {
			total += len(entities[text[:end]])
		}
	}
	return total <= maxXMLText && len(entities) <= maxXMLDeclared
}

// maxXMLName is how long the name of an entity may be.
const maxXMLName = 256

var errXMLSubset = errors.New("malformed document type declaration")

// entityTable are the internal entities that a DOCTYPE declares.
type entityTable struct {
	raw      map[string]string // values as declared
	parts    map[string]string // parameter entities: pieces of the declaration itself
	depth    int               // of parameter entities inside each other
	expanded map[string]string
	open     map[string]bool // being expanded: a reference to one of these never ends
	budget   *int
}

// entities reads the internal entities that a DOCTYPE declares, so that rules
// see what a back end will see. External ones (SYSTEM, PUBLIC) are never
// fetched and stand for nothing. References inside values are expanded while
// budget, in bytes, lasts: the billion laughs end here.
func entities(doctype string, budget *int) (map[string]string, error) {
	t := entityTable{raw: map[string]string{}, parts: map[string]string{}, expanded: map[string]string{}, open: map[string]bool{}, budget: budget}
	_, subset, found := strings.Cut(doctype, "[")
	if !found {
		return t.expanded, nil
	}
	if err := t.declare(subset); err != nil {
		return nil, err
	}
	for name := range t.raw {
		t.expand(name)
		if *budget <= 0 {
			break
		}
	}
	return t.expanded, nil
}

// declare reads the internal subset, up to its closing bracket.
func (t *entityTable) declare(s string) error {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		var found bool
		switch {
		case strings.HasPrefix(s, "]"):
			return nil
		case s == "" && t.depth > 0:
			return nil
		case strings.HasPrefix(s, "%"):
			var name string
			if name, s, found = strings.Cut(s[1:], ";"); found {
				if err := t.include(name); err != nil {
					return err
				}
			}
		case strings.HasPrefix(s, "<!--"):
			_, s, found = strings.Cut(s[4:], "-->")
		case strings.HasPrefix(s, "<?"):
			_, s, found = strings.Cut(s[2:], "?>")
		case strings.HasPrefix(s, "<!ENTITY"):
			s, found = t.entity(s[len("<!ENTITY"):])
		case strings.HasPrefix(s, "<!ELEMENT"), strings.HasPrefix(s, "<!ATTLIST"), strings.HasPrefix(s, "<!NOTATION"):
			s, found = pastDeclaration(s)
		}
		if !found {
			return errXMLSubset
		}
		if len(t.raw)+len(t.parts) > maxXMLDeclared {
			return errors.New("entities expand over the limit")
		}
	}
}

// include reads the value of a parameter entity in its place; one that is declared elsewhere is nothing.
func (t *entityTable) include(name string) error {
	part := t.parts[name]
	if *t.budget -= len(part); t.depth >= 8 || *t.budget <= 0 {
		return errXMLSubset
	}
	t.depth++
	defer func() { t.depth-- }()
	return t.declare(part)
}

// entity reads the rest of one declaration.
func (t *entityTable) entity(s string) (rest string, ok bool) {
	body := strings.TrimLeft(s, " \t\r\n")
	parameter := strings.HasPrefix(body, "%")
	if parameter {
		body = strings.TrimLeft(body[1:], " \t\r\n")
	}
	end := strings.IndexAny(body, " \t\r\n")
	if len(body) == len(s) || end <= 0 || end >= maxXMLName {
		return "", false
	}
	name := body[:end]
	if !xmlName(name) {
		return "", false
	}
	body = strings.TrimLeft(body[end:], " \t\r\n")
	value := ""
	switch {
	case body == "":
		return "", false
	case body[0] == '"' || body[0] == '\'':
		v, after, found := strings.Cut(body[1:], body[:1])
		after = strings.TrimLeft(after, " \t\r\n")
		if !found || !strings.HasPrefix(after, ">") {
			return "", false
		}
		value, rest, ok = v, after[1:], true
	case strings.HasPrefix(body, "SYSTEM"), strings.HasPrefix(body, "PUBLIC"):
		rest, ok = pastDeclaration(body)
	}
	table := t.raw
	if parameter {
		table = t.parts
	}
	if _, dup := table[name]; !dup && ok { // the first declaration is binding
		table[name] = unreferenced(value)
	}
	return rest, ok
}

// unreferenced puts characters for the numeric references of an entity's value, as the declaration does.
func unreferenced(v string) string {
	if !strings.Contains(v, "&#") {
		return v
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(v, "&#")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n, after, ok := reference(rest)
		// A '&' made so begins no reference of its own here: it stays as it was written.
		if !ok || n == '&' {
			b.WriteString("&#")
			v = rest
			continue
		}
		b.WriteRune(n)
		v = after
	}
}

// reference reads what follows "&#", with its semicolon.
func reference(s string) (n rune, rest string, ok bool) {
	end := strings.IndexByte(s[:min(len(s), 16)], ';')
	if end < 0 {
		return 0, s, false
	}
	number, base := s[:end], 10
	if strings.HasPrefix(number, "x") {
		number, base = number[1:], 16
	}
	u, err := strconv.ParseUint(number, base, 21)
	return rune(u), s[end+1:], err == nil
}

// pastDeclaration returns what follows the next '>' outside of quotes.
func pastDeclaration(s string) (rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '>':
			return s[i+1:], true
		case '"', '\'':
			end := strings.IndexByte(s[i+1:], s[i])
			if end < 0 {
				return "", false
			}
			i += end + 1
		}
	}
	return "", false
}

// expand puts in place what a value refers to. An entity that refers to itself has no expansion: it counts as
// undeclared, and a reference to it is an error.
func (t *entityTable) expand(name string) (string, bool) {
	if v, done := t.expanded[name]; done {
		return v, true
	}
	v, known := t.raw[name]
	if !known || t.open[name] || *t.budget <= 0 {
		return "", false
	}
	t.open[name] = true
	defer delete(t.open, name)
	var b strings.Builder
	for {
		i := strings.IndexByte(v, '&')
		if i < 0 {
			b.WriteString(v)
			break
		}
		b.WriteString(v[:i])
		v = v[i:]
		end := strings.IndexByte(v, ';')
		if end < 0 || v[1] == '#' || predefined(v[1:end]) {
			b.WriteByte('&')
			v = v[1:]
			continue
		}
		text, ok := t.expand(v[1:end])
		if !ok {
			return "", false
		}
		if *t.budget -= len(text); *t.budget <= 0 {
			return "", false
		}
		b.WriteString(text)
		v = v[end+1:]
	}
	*t.budget -= b.Len()
	t.expanded[name] = b.String()
	return b.String(), true
}
