package seclang

import (
	"fmt"
	"math"
	"strconv"
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
	case "secresponsebodymimetype", "secremoterules", "sechashmethodrx", "sechashmethodpm", "sechashkey", "sechashparam", "secrxprefilter", "seccollectiongcfrequency",
		"secresponsebodymimetypesclear":
		most = len(d.Args) // any number, or somebody else counts
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

// countsAs is the number that mod_security2 reads from a value that is none, such as 1k, where it takes such values:
// the digits at the start.
func countsAs(name, value string) (string, bool) {
	n := leadingInt(value)
	switch name {
	case "secrequestbodylimit", "secrequestbodynofileslimit", "secrequestbodyinmemorylimit", "secresponsebodylimit", "secpcrematchlimit",
		"secpcrematchlimitrecursion", "secargumentslimit", "secrequestbodyjsondepthlimit":
		if n <= 0 {
			return "", false
		}
	case "seccollectiontimeout", "secdebugloglevel":
		if n < 0 {
			return "", false
		}
	case "secuploadfilelimit":
		n = max(n, 0)
	default:
		return "", false
	}
	return strconv.FormatInt(min(n, math.MaxInt32), 10), true
}
