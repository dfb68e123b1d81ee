//go:build oracle && unix

package language

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// operatorRules makes one rule of each, numbered from 1000, which shows what was captured.
func operatorRules(ops []string) string {
	var b strings.Builder
	for i, op := range ops {
		fmt.Fprintf(&b, "SecRule ARGS \"%s\" \"id:%d,phase:2,pass,log,capture,t:none,logdata:'%%{MATCHED_VAR_NAME}|%%{TX.0}|%%{TX.1}|%%{TX.2}|%%{TX.3}'\"\n",
			quoted(op), 1000+i)
	}
	return b.String()
}

// quoted writes s so that Apache reads s between double quotes.
func quoted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' && (i+1 == len(s) || s[i+1] == '\\' || s[i+1] == '"') {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func operatorPieces() []string {
	return []string{
		"a", "ab", "abc", "ABC", "B", "b", " ", "  ", "x", "_", "0", "\n", "\r\n", "\t", "\x00", "\xff", "\xa0", "\xc3\xa9", "é", "%", "%41", "%4", "%zz", "%%", "%u0041", "'", "\"", "\\", "/", "|", "+", "-", ".", ",", ";", ":", "(", ")", "[", "{", "$", "^", "#",
		"or", "1=1", "' or '1'='1", "1 union select 1,2", "1; drop table x--", "<script>", "<script>alert(1)</script>", "onload=x", "<a href=javascript:x>", "\" onclick=alert(1) ", "<!--", "--", "select", "xby", "12", "5", "-5", "+5", " 5", "5 ", "1e3", "0x10", "007", "2147483647", "2147483648", "4294967301", "-2147483649", "99999999999999999999", "5.9", "٣",
		"574-57-8065", "078-05-1120", "4111111111111111", "4111 1111 1111 1111", "5500005555555559", "529.982.247-25", "52998224725", "1237010180", "1234 010180", "111-11-1111",
		"10.1.2.3", "10.1.2.3 ", " 10.1.2.3", "10.1.2", "10.1.2.300", "010.001.002.003", "192.0.2.77", "::1", "2001:db8::5", "2001:DB8::5", "::ffff:10.1.2.3", "::ffff:a01:203", "fe80::1%eth0", "1.2.3.4/32", "0.0.0.0", "255.255.255.255",
		"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98\x80", "\xe2\x82\xac", "\xe2\x82", "\xc3", "\xf8",
		"GET", "POST", "/etc/passwd", "/ETC/", "two words", "two  words", "foo.bar", "foo bar", "word", "words", "C1", "a|b", "a:b", "c;d", "|41|", "AB", "A B", "abcabc", "aXbXc", "line1\nline2", "end\n", "\nend",
	}
}

func textOperators() []string {
	var ops []string
	for _, name := range []string{"beginsWith", "endsWith", "contains", "containsWord", "streq", "within", "strmatch"} {
		for _, arg := range []string{"a", "ab", "abc ab or GET", "or", "word", "%41", "two words", ".", " x", "5", "é", "_", "a:b", "|41 42|", "|41|", `a\:b`, `c\;d`, `\\"`, "/ETC/", "' or", "-", "(", "10.1.2.3"} {
			ops = append(ops, "@"+name+" "+arg)
		}
	}
	for _, name := range []string{"eq", "ge", "gt", "le", "lt"} {
		for _, arg := range []string{"0", "5", " 5", "-5", "+5", "1e3", "12", "2147483647", "x", "5.9", "007", "4294967301"} {
			ops = append(ops, "@"+name+" "+arg)
		}
	}
	return append(ops, "!@streq ab", "!@within ab 12 or", "!@eq 5", "!@contains a", "!@beginsWith a", "! @endsWith b", "!@rx ^(a)", "!@pm ab or", "!@validateByteRange 32-126")
}

func rxOperators() []string {
	return []string{
		"^a", "b$", "a.b", "(?i)AB", `\bor\b`, "[^a-z]{3}", `^\d+$`, `(\w)(\W)?`, `(a|x)+B`, `\xff`, `^.{3}$`, "end$", `end\Z`, `^.*$`, `^line2`, `(?m)^line2`, `[[:alpha:]]+`, `[^\x20-\x7e]`, `\x00`, `(a)|(b)|(c)`,
		`(?:^|;)\s*(o)(r)`, "@rx (x)(y)?", "@rx ", `@rx \s`, `@rx \h`, `@rx é`, `@rx .\z`, `@rx ^$`, `@rx $`, `@rx (?s-i:a.b)`, `@rx a{2,}`, `@rx [\w.-]+@`, "@rx %{TX.none}a", "@rx %41", "@rx |",
	}
}

func phraseOperators() []string {
	var ops []string
	for _, arg := range []string{
		"ab or", "select script", "B 12 |61 2e|", "x|y a|b", "a||b |", `a\:b c\;d`, "|6 1|b", "|61||62|", "57-8065 abc ab", "abcabc abc bca", "é", "|ff| |01|", "'", "or  and", "A b C", "|41 42|", "|4g|", `\x`, `a\\`, "words word", "#", ". ..",
	} {
		ops = append(ops, "@pm "+arg)
	}
	for _, f := range []string{"plain", "crlf", "comments", "escapes", "blanks", "noend", "plain {{dir}}/crlf"} {
		ops = append(ops, "@pmFromFile {{dir}}/"+f)
	}
	return append(ops, "@pmf {{dir}}/plain", "@pmf crlf")
}

func phraseFiles() map[string]string {
	return map[string]string{
		"plain":    "ab\nselect\ntwo words\n",
		"crlf":     "ab\r\nfoo bar\r\n\r\n12\r\n",
		"comments": "# ab\n #or\nword # not a comment\n#\nfoo.bar #\n",
		"escapes":  "|41 42|\na\\:b\nc;d\n|41|x\n\\x41\nx|y\n%41\n",
		"blanks":   "   \n\t\n  two words  \n\tword\n\n\n",
		"noend":    "abc\nend",
		"ips":      "# list\n10.0.0.0/8\n  192.0.2.0/24  \n2001:db8::/32\r\n\n::1 # here\n",
	}
}

func addressOperators() []string {
	return []string{
		"@ipMatch 10.0.0.0/8", "@ipMatch 10.1.2.3", "@ipMatch ::1,2001:db8::/32", "@ipMatch 10.1.2.3,192.0.2.0/24", "@ipMatch 0.0.0.0/1", "@ipMatch ::/1", "@ipMatch 10.1.2.99/24", "@ipMatch ::ffff:10.1.2.3", "@ipMatch ::ffff:0:0/96",
		"@ipMatch 10.1.2.4/31", "@ipMatch 2001:db8::5,2001:DB8::6", "@ipMatchFromFile {{dir}}/ips", "@ipMatchF {{dir}}/ips", "!@ipMatch 10.0.0.0/8", "!@ipMatch 2001:db8::/33",
	}
}

func otherOperators() []string {
	return []string{
		"@validateByteRange 32-126", "@validateByteRange 1-255", "@validateByteRange 9,10,13,32-126", "@validateByteRange 0", "@validateByteRange 10, 13, 32 - 126", "@validateByteRange 255", "@validateByteRange", "@validateUrlEncoding", "@validateUtf8Encoding",
		`@verifyCC \d{13,16}`, `@verifyCC (\d)(\d{3})[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}`, `@verifyCC (\d{13,16})|(x)`, `@verifySSN \d{3}-?\d{2}-?\d{4}`, `@verifySSN (\d{3})-(\d{2})-(\d{4})`, `@verifyCPF ([0-9]{3}\.){2}[0-9]{3}-[0-9]{2}`, `@verifyCPF \d{11}`, "@unconditionalMatch", "@noMatch",
		"!@verifyCC (\\d)(\\d{12})", "!@validateUtf8Encoding", "!@validateUrlEncoding", "!@noMatch", "!@unconditionalMatch",
		"@streq %{TX.none}", "@streq %{REQUEST_METHOD}", "@contains %{TX.five}", "@within %{TX.list}", "@beginsWith %{tx.five}", "@endsWith x%{TX.five}", "@eq %{TX.five}", "@gt %{TX.none}", "@pm %{TX.list}", "@rx ^%{TX.five}$", "@rx %{TX.dot}", "@containsWord %{TX.word}", "@strmatch %{TX.five}", "@streq %{ARGS.none}%{TX.five}", "@within %{TX.word} %{unknown.x} or",
		"@streq %{tx.five}%{tx.word}", "@contains %{", "@contains %{TX.five", "@contains }%{tx.five}{", "@streq %{tx.FIVE}", "@within %{tx.list}%{tx.word}",
	}
}

// tx is what the arguments with macros expand to.
const tx = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.five=5,setvar:'tx.list=ab or 12',setvar:tx.dot=.,setvar:tx.word=word\"\n"

// TestOperators runs operators on hostile values: answer, sentence and captures must be the same.
func TestOperators(t *testing.T) {
	ops := slices.Concat(textOperators(), rxOperators(), phraseOperators(), otherOperators())
	p := newPair(t, tx+operatorRules(ops), phraseFiles())
	values := hostile(11, count(1500), operatorPieces())
	theirs, ours := p.ask(t, values, 3)
	large := 0
	for i, v := range values {
		for id, op := range ops {
			// A length of 4294967297 bytes must not pass as 1: mod_security2 keeps the low 32 bits of a number.
			if numeric(op) && (beyond32(v) || beyond32(op)) {
				if !slices.Equal(byRule(theirs[i])[1000+id], byRule(ours[i])[1000+id]) {
					large++
				}
				theirs[i], ours[i] = without(theirs[i], 1000+id), without(ours[i], 1000+id)
			}
		}
	}
	if large == 0 {
		t.Error("no large number differs any more: remove the exception")
	}
	compare(t, values, theirs, ours, func(id int) string { return ops[id-1000] })
}

func numeric(op string) bool {
	return strings.HasPrefix(strings.TrimPrefix(op, "!"), "@") && strings.Contains(" eq ge gt le lt ", " "+strings.TrimLeft(op, "!@")[:2]+" ")
}

var number = regexp.MustCompile(`^(?:!?@[a-z]+ )?[\s\v]*([+-]?\d+)`)

// beyond32 reports whether the number at the start of s, or behind the name of an operator, does not fit into 32 bits.
func beyond32(s string) bool {
	m := number.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	_, err := strconv.ParseInt(m[1], 10, 32)
	return err != nil
}

// TestAddresses runs @ipMatch, one value in each request: what is no address
// ends a rule in mod_security2, so that the values behind it are not looked at.
func TestAddresses(t *testing.T) {
	ops := addressOperators()
	p := newPair(t, operatorRules(ops), phraseFiles())
	pieces := []string{
		"10.1.2.3", "10.1.2.4", "10.1.2.5", "192.0.2.77", "192.0.3.1", "11.0.0.0", "0.0.0.0", "127.255.255.255", "128.0.0.0", "255.255.255.255", "10.1.2", "10.1.2.300", "010.1.2.3", "10.1.2.3.4", "10.1.2.3/32", "0x0a.1.2.3", "167838211", " ", ".", "1", "/8",
		"::1", "::", "2001:db8::5", "2001:DB8::6", "2001:0db8:0000:0000:0000:0000:0000:0005", "2001:db8:8000::1", "::ffff:10.1.2.3", "::ffff:a01:203", "::10.1.2.3", "fe80::1%eth0", "[::1]", ":", "1::2::3", "12345::", "::g", "2001:db8::5:",
	}
	values := slices.Concat(pieces, hostile(12, count(600), pieces)[256:])
	theirs, ours := p.ask(t, values, 1)
	failed := 0
	for i, v := range values {
		for id, op := range ops {
			a, b := byRule(theirs[i])[1000+id], byRule(ours[i])[1000+id]
			switch {
			case slices.Equal(a, b):
			case mapped(v): // an IPv4 address in the form of IPv6 is the same host: lists of IPv4 hold it
			case strings.HasPrefix(op, "!") && len(a) == 0 && net.ParseIP(v) == nil:
				failed++ // what is no address is not in the list, as in version 3; in version 2 the rule fails, and lets everything pass
			case strings.Contains(v, "\x00"):
				continue // behind a NUL mod_security2 sees nothing: 10.1.2.3\0x would be an address
			default:
				t.Errorf("%s on %q:\n  mod_security2 %v\n  ours          %v", op, v, a, b)
			}
		}
	}
	if failed == 0 {
		t.Error("no rule fails any more: remove the exception")
	}
}

func mapped(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Is4In6()
}

// TestInjections runs libinjection's operators on attacks that were cut and mixed.
func TestInjections(t *testing.T) {
	ops := []string{"@detectSQLi", "@detectXSS"}
	p := newPair(t, operatorRules(ops), nil)
	pieces := []string{
		"1", "'", "\"", "`", " ", "or", " or ", "and", " union ", "select", " from ", "=", "1=1", "--", "#", "/*", "*/", "/*!", ";", "(", ")", ",", "x", "admin", "0x41", "1.5e3", "@@version", "sleep(5)", "NULL", " like ", "char(65)", "&&", "||", "!=", "<>", "\\", "drop table x", "{fn now()}", "n'x'", "q'[x]'", "$$x$$", "[a]", ":=", "case when", "exec xp_cmdshell", "\n", "\t", "\xa0", "waitfor delay", " is not null",
		"<", ">", "<script>", "</script>", "<img src=", "<a href=", "javascript:", "onload=", "onerror", "onlMad=x", "online=1", " on=1", "onx=1", "ONCLICK =", "style=", "xmlns:x=", "xlink:href=", "<!--", "-->", "<![CDATA[", "<?xml ", "<!doctype", "<svg", "/", "src=", "data:", "vbscript:", "view-source:", "&#106;avascript:", "formaction=", "<iframe", "<b x=y>", "alert(1)", "<x", "<!entity", "<?import", "attributename=", "to=", "by=",
	}
	values := hostile(13, count(4000), pieces)
	for i, v := range values {
		values[i] = strings.ReplaceAll(v, "\x00", "") // TX:0 of @detectXSS ends at a NUL there
	}
	theirs, ours := p.ask(t, values, 100)
	differ := 0
	for i, v := range values {
		if slices.Equal(theirs[i], ours[i]) {
			continue
		}
		// The port follows a newer libinjection, which knows some more fingerprints and reads attributes in another way.
		if differ++; differ > len(values)/1000 {
			t.Errorf("%q:\n  mod_security2 %v\n  ours          %v", v, theirs[i], ours[i])
		}
	}
	t.Logf("%d of %d values differ", differ, len(values))
}

// TestLongSentences looks at what sentences show of long arguments, values and names.
func TestLongSentences(t *testing.T) {
	long := strings.Repeat("abcdefghi/", 26) // 260 bytes
	odd := strings.Repeat(`a\\b|`, 50)
	ops := []string{
		"@within " + long, "@streq " + long, "@contains " + long, "@beginsWith " + long, "@endsWith " + long, "@containsWord " + long, "@strmatch " + long, "@rx " + long, "@pm " + long + " x", "@rx (" + odd + "z)",
		"!@within " + long + "x", "!@streq " + long + "x", "!@rx " + long + "x", "!@pm " + long + "x", "!@rx " + odd + "z", "!@contains " + strings.Repeat("é", 60), "@rx " + strings.Repeat("é", 60), "@within " + strings.Repeat("é", 20), "@within " + strings.Repeat(`\"`, 130),
		"@validateByteRange " + strings.Repeat("32-126,", 40) + "9", "@streq %{tx.five} ", "!@streq  x", "!@rx %{tx.five}x ",
	}
	p := newPair(t, tx+operatorRules(ops), nil)
	values := []string{long, long + "z", "z" + long, strings.Repeat("é", 60), strings.Repeat(`"`, 130), "x", strings.Repeat("\xff\x00", 100), "5 ", "5", strings.Repeat("ab", 500)}
	theirs, ours := p.ask(t, values, 1)
	compare(t, values, theirs, ours, func(id int) string { return ops[id-1000] })
}

// TestPhraseFiles gives each line to a file of its own. Lines that are not
// well formed have an odd meaning in mod_security2, or none; here they are text.
func TestPhraseFiles(t *testing.T) {
	const (
		single = "a phrase of one character is ignored there"
		bars   = "a bar that encloses no bytes is text, as in the error messages that CRS lists; it garbles the line there"
	)
	lines := []struct{ line, differs string }{
		{"ab", ""}, {"  ab  ", ""}, {"# ab", ""}, {"ab # cd", ""}, {"|41 42|C", ""}, {"|41||42|", ""}, {"a |41 42| b", ""}, {"x|y", ""}, {"Microsoft|x", ""}, {`a\|b`, ""}, {`\x41`, ""}, {`a\:b`, ""}, {`a\:|41|`, ""}, {`a\`, ""}, {`"quoted"`, ""}, {`"x`, ""}, {"two words", ""}, {"ab\r", ""}, {"\tab", ""}, {"%41", ""}, {"\xe9t", ""},
		{"|", single}, {"|41|", single}, {"|20|x", single}, {"x|20|", single}, {`\\`, single}, {"a", single},
		{"||", bars}, {"a|b|c", bars}, {"x|41", bars}, {"|4|", bars}, {"|414|", bars}, {"a|zz|b", bars}, {"x|41|y|42", bars}, {"|g1|", bars}, {"|4 1|", bars}, {`|41\:|`, bars}, {"| |", bars}, {"-|-|-", bars},
	}
	files := map[string]string{}
	var ops, values []string
	for i, l := range lines {
		name := fmt.Sprintf("f%d", i)
		files[name] = l.line + "\n"
		ops = append(ops, "@pmFromFile {{dir}}/"+name)
		values = append(values, l.line)
	}
	values = append(values, "ABC", "A", "AB", "xy", "abc", "a:b", "a:A", "quoted", "a AB b", "xAyB", "xA", "\x04", "--", "- -", "x x", " x", "x ", "ab", "cd", "two  words", "\xe9T", "\xc9t")
	p := newPair(t, operatorRules(ops), files)
	theirs, ours := p.ask(t, values, 20)
	for id, l := range lines {
		same := true
		for i := range values {
			same = same && slices.Equal(byRule(theirs[i])[1000+id], byRule(ours[i])[1000+id])
		}
		if same != (l.differs == "") {
			t.Errorf("line %q: same is %v, reason %q", l.line, same, l.differs)
		}
	}
}
