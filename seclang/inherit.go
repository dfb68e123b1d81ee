package seclang

import "strings"

// InheritsRules is whether a virtual host whose own directives these are runs the rules of the main server, too:
// unless the last SecRuleInheritance among them is Off.
func InheritsRules(own []Directive) bool {
	inherits := true
	for _, d := range own {
		if strings.EqualFold(d.Name, "SecRuleInheritance") && len(d.Args) > 0 {
			inherits = !strings.EqualFold(d.Args[0], "off")
		}
	}
	return inherits
}

// WithoutRules returns the directives of ds that are settings: what a host keeps of the main server's text when it
// inherits no rules.
func WithoutRules(ds []Directive) []Directive {
	var out []Directive
	for _, d := range ds {
		switch name := lower(d.Name); {
		case name == "secrule", name == "secaction", name == "secmarker", name == "secrulescript", name == "secdefaultaction", name == "secremoterules",
			strings.HasPrefix(name, "secruleremove"), strings.HasPrefix(name, "secruleupdate"):
		default:
			out = append(out, d)
		}
	}
	return out
}
