package seclang

import (
	"fmt"
	"strings"
)

// checkWords refuses a setting with more words than it takes, or with an empty first one. Both versions do: httpd
// counts the words of a directive, and version 3 finds text that it cannot read.
func checkWords(name string, d Directive) error {
	most := 1
	if !IsDirective(name) {
		return nil // it is reported with the name that may have been meant
	}
	switch name {
	case "secunicodemapfile", "secunicodemap", "secconnreadstatelimit", "secreadstatelimit", "secwritestatelimit",
		"secconnwritestatelimit", "seccachetransformations", "secguardianlog":
		most = 2
	case "secresponsebodymimetype", "secremoterules", "sechashmethodrx", "sechashmethodpm", "sechashkey", "sechashparam", "secrxprefilter", "seccollectiongcfrequency":
		most = len(d.Args) // any number, or somebody else counts
	case "secresponsebodymimetypesclear":
		most = 0
	}
	switch {
	case len(d.Args) > most:
		return fmt.Errorf("%s has %d arguments, expected %d", d.Name, len(d.Args), most)
	case most > 0 && len(d.Args) > 0 && d.Args[0] == "":
		return fmt.Errorf("%s without a value", d.Name)
	}
	switch name {
	case "secruleinheritance", "seccachetransformations":
		if len(d.Args) == 0 {
			return fmt.Errorf("%s without a value", d.Name)
		}
		var b bool
		if err := boolTo(&b)(d.Args[0], nil); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

// withoutComment drops a comment behind the value of a setting, which version 3 takes for one.
func withoutComment(args []string) []string {
	for i, a := range args {
		if i > 0 && strings.HasPrefix(a, "#") {
			return args[:i]
		}
	}
	return args
}
