//go:build oracle

package bodies

import (
	"regexp"
	"slices"
	"strings"
)

// difference is one class of what we do in another way than a version of ModSecurity. excuse takes the difference out of
// the two views, if it is there, and says so.
type difference struct {
	name, reason string
	kinds        string // of bodies where it is looked for
	versions     string // of ModSecurity
	// rare marks a difference that a short run need not meet.
	rare   bool
	excuse func(r request, theirs, mine view) bool
}

// forget takes variables out of the comparison.
func forget(theirs, mine view, names ...string) bool {
	differed := false
	for _, n := range names {
		differed = differed || theirs[n] != mine[n]
		delete(theirs, n)
		delete(mine, n)
	}
	return differed
}

// everything is all that a body can set.
func everything() []string { return append(append(collections(), scalars()...), "XML:/*", "XML://@*") }

// refusedByUs excuses a body that they take and we refuse with one of these messages, or refuse for another reason first.
func refusedByUs(messages ...string) func(request, view, view) bool {
	return func(_ request, theirs, mine view) bool {
		for _, m := range messages {
			if strings.Contains(mine["REQBODY_ERROR_MSG"], m) && theirs["REQBODY_ERROR_MSG"] != mine["REQBODY_ERROR_MSG"] {
				return forget(theirs, mine, everything()...)
			}
		}
		return false
	}
}

// same makes ours theirs in one variable, when fn turns one into the other.
func same(theirs, mine view, name string, fn func(string) string) bool {
	if theirs[name] == mine[name] || fn(theirs[name]) != fn(mine[name]) {
		return false
	}
	theirs[name] = mine[name]
	return true
}

func both(theirs, mine view) bool {
	return theirs["REQBODY_ERROR"] == "1" && mine["REQBODY_ERROR"] == "1"
}

// differences are looked for in this order.
func differences() []difference {
	return slices.Concat(commonDifferences(), multipartDifferences(), multipartDifferences3(), otherDifferences())
}

func commonDifferences() []difference {
	return []difference{
		{
			name: "REQUEST_BODY of a body without processor", versions: "2", kinds: "form multipart",
			reason: "as in version 3, it is there; version 2 wants ctl:forceRequestBodyVariable, and shows its users less",
			excuse: func(_ request, theirs, mine view) bool {
				return mine["REQBODY_PROCESSOR"] == "" && forget(theirs, mine, "REQUEST_BODY")
			},
		},
		{
			name: "REQUEST_BODY of parsed bodies", versions: "3", kinds: "multipart json xml",
			reason: "as in version 2, rules look at the parts: uploads would be matched against the rules for forms",
			excuse: func(_ request, theirs, mine view) bool {
				return mine["REQUEST_BODY"] == "" && forget(theirs, mine, "REQUEST_BODY")
			},
		},
		{
			name: "0 is not there", versions: "3", kinds: "form json xml multipart",
			reason: "version 3 leaves variables out that version 2 has at 0",
			excuse: func(_ request, theirs, mine view) (was bool) {
				for k, v := range mine {
					if v == "0" && theirs[k] == "" {
						was = forget(theirs, mine, k) || was
					}
				}
				return was
			},
		},
	}
}

func multipartDifferences() []difference {
	boundaryParameter := regexp.MustCompile(`(?i)boundary\s*=\s*[^";]*;`)
	return []difference{
		{
			name: "parameter after the boundary", versions: "2", kinds: "multipart",
			reason: "as in version 3, boundary=B; charset=x is taken: every back end ends the boundary there, and version 2 refuses honest uploads",
			excuse: func(r request, theirs, mine view) bool {
				return strings.Contains(theirs["REQBODY_ERROR_MSG"], "C-T (characters)") && boundaryParameter.MatchString(r.contentType) && forget(theirs, mine, everything()...)
			},
		},
		{
			name: "character in a header's name", versions: "23", kinds: "multipart",
			reason: "refused by name, as later versions of both do",
			excuse: refusedByUs("contains invalid character"),
		},
		{
			name: "filename*", versions: "2", kinds: "multipart",
			reason: "beside filename it is understood, as in version 3; what is wrong in it has an error of its own",
			excuse: func(r request, theirs, mine view) bool {
				return theirs["REQBODY_ERROR"] == "1" && strings.Contains(theirs["REQBODY_ERROR_MSG"], "Content-Disposition") && strings.Contains(r.body, "filename*") && forget(theirs, mine, everything()...)
			},
		},
		{
			name: "filename* beside filename", versions: "3", kinds: "multipart", rare: true,
			reason: "both names are in FILES: back ends differ in which of the two they take",
			excuse: func(r request, theirs, mine view) bool {
				return mine["REQBODY_ERROR"] != "1" && strings.Contains(r.body, "filename*") && forget(theirs, mine, "FILES")
			},
		},
		{
			name: "NUL in a message", versions: "2", kinds: "multipart",
			reason: "C strings end at a NUL",
			excuse: func(_ request, theirs, mine view) bool {
				before, _, found := strings.Cut(mine["REQBODY_ERROR_MSG"], `\x00`)
				return found && theirs["REQBODY_ERROR_MSG"] == before && forget(theirs, mine, "REQBODY_ERROR_MSG")
			},
		},
		{
			name: "data behind the end in a later block", versions: "2", kinds: "multipart", rare: true,
			reason: "version 2 calls it DATA_BEFORE when httpd reads it in another block than the end; ours does not depend on blocks",
			excuse: func(_ request, theirs, mine view) bool {
				return mine["MULTIPART_DATA_AFTER"] == "1" && theirs["MULTIPART_DATA_BEFORE"] == "1" && forget(theirs, mine, "MULTIPART_DATA_BEFORE", "MULTIPART_DATA_AFTER")
			},
		},
		{
			name: "empty file name", versions: "23", kinds: "multipart", rare: true,
			reason: "back ends disagree whether filename=\"\" makes a file or a field: it is inspected as both",
			excuse: func(r request, theirs, mine view) bool {
				return regexp.MustCompile(`filename\s*=\s*(""|''|[;\r\n])`).MatchString(r.body) && forget(theirs, mine, "ARGS", "ARGS_NAMES", "FILES", "FILES_NAMES", "FILES_SIZES", "FILES_COMBINED_SIZE")
			},
		},
		{
			name: "what came before an error", versions: "23", kinds: "multipart",
			reason: "rules see the parts that came before the fault: a back end may take them",
			excuse: func(_ request, theirs, mine view) bool {
				return both(theirs, mine) && forget(theirs, mine, append(collections(), "FILES_COMBINED_SIZE", "MULTIPART_NAME", "MULTIPART_FILENAME")...)
			},
		},
	}
}

// multipartDifferences3 are where version 2 wins over version 3.0.9.
func multipartDifferences3() []difference {
	list := []difference{
		{
			name: "no body", kinds: "multipart", versions: "3", rare: true,
			reason: "version 2 parses the body of length 0 that a Content-Length announces and finds no boundary",
			excuse: func(r request, theirs, mine view) bool { return r.body == "" && forget(theirs, mine, everything()...) },
		},
		{
			name: "after an error", kinds: "multipart", versions: "3",
			reason: "version 3 goes on behind a fault, words only the last one, and leaves MULTIPART_STRICT_ERROR at 0; in version 2 an error is strict",
			excuse: func(_ request, theirs, mine view) bool {
				return both(theirs, mine) && forget(theirs, mine, everything()...)
			},
		},
		{
			name: "line end in MULTIPART_PART_HEADERS", kinds: "multipart", versions: "3",
			reason: "3.0.9 keeps it; its later suite wants what version 2 does",
			excuse: func(_ request, theirs, mine view) bool {
				return same(theirs, mine, "MULTIPART_PART_HEADERS", func(s string) string { return strings.NewReplacer(`\n`, "", `\r`, "").Replace(s) })
			},
		},
		{
			name: "line ends in values", kinds: "multipart", versions: "3",
			reason: "3.0.9 drops the line ends inside of a field: <scr LF ipt> becomes one word, which no back end does",
			excuse: func(_ request, theirs, mine view) bool {
				return same(theirs, mine, "ARGS", func(s string) string {
					words := strings.Split(strings.Trim(strings.NewReplacer(`\n`, "", `\r`, "").Replace(s), "[]"), `" "`)
					for i := range words {
						words[i] = strings.Trim(words[i], `"`)
					}
					slices.Sort(words)
					return strings.Join(words, "|")
				})
			},
		},
		{
			name: "MULTIPART_UNMATCHED_BOUNDARY is 2", kinds: "multipart", versions: "3",
			reason: "3.0.9 sets 2 for every well-formed body; rules that ask for !@eq 0 would refuse all of them",
			excuse: func(_ request, theirs, mine view) bool {
				return theirs["MULTIPART_UNMATCHED_BOUNDARY"] == "2" && forget(theirs, mine, "MULTIPART_UNMATCHED_BOUNDARY")
			},
		},
		{
			name: "order of equal names", kinds: "multipart", versions: "3", rare: true,
			reason: "version 3 has MULTIPART_NAME of the last part it kept, version 2 of the last it read",
			excuse: func(_ request, theirs, mine view) bool {
				return forget(theirs, mine, "MULTIPART_NAME", "MULTIPART_FILENAME")
			},
		},
		{
			name: "empty name", kinds: "multipart", versions: "3", rare: true,
			reason: "version 3 refuses a part with name=\"\"; in version 2 it is an argument without a name",
			excuse: func(r request, theirs, mine view) bool {
				return theirs["REQBODY_ERROR"] == "1" && regexp.MustCompile(`name\s*=\s*(""|''|[;\r\n])`).MatchString(r.body) && forget(theirs, mine, everything()...)
			},
		},
	}
	for _, m := range [][2]string{
		{"C-T (empty)", "an empty boundary"},
		{"C-T (characters)", "characters that no boundary has"},
		{"header (-", "a Content-Disposition that version 2 refuses: 3.0.9 takes the line end for part of it and misses unbalanced quotes"},
		{"Duplicate part header", "two headers of one name"},
		{"Invalid boundary: ", "a boundary with something behind it"},
		{"Invalid part header (folding", "a header that begins with its own continuation"},
		{"Part header line over", "a header line over 4,096 bytes"},
		{"Part missing Content-Disposition", "a part without Content-Disposition"},
		{"Nul byte in part headers", "a NUL in a header"},
		{"colon missing", "a header without colon"},
		{"header name missing", "a header without name"},
		{"Final boundary missing", "a body without its end"},
		{"No boundaries found", "a body without boundaries"},
		{"(filename)", "a file name that cruder parsers would not see"},
	} {
		list = append(list, difference{
			name: "taken by version 3: " + m[1], kinds: "multipart", versions: "3", rare: true,
			reason: "version 2 refuses it, and a refusal is what its users have", excuse: refusedByUs(m[0]),
		})
	}
	return list
}

func otherDifferences() []difference {
	return []difference{
		{
			name: "words of errors", kinds: "json xml", versions: "23", rare: true,
			reason: "yajl and libxml2 word their errors in another way, and stop at another token",
			excuse: func(_ request, theirs, mine view) bool {
				return both(theirs, mine) && forget(theirs, mine, append(collections(), "REQBODY_ERROR_MSG", "XML:/*", "XML://@*")...)
			},
		},
		{
			name: "names in JSON", kinds: "json", versions: "2",
			reason: "named as in version 3, json.list.array_0; version 2's own names are compared in seclang/body",
			excuse: func(_ request, theirs, mine view) bool { return forget(theirs, mine, "ARGS_NAMES") },
		},
		{
			name: "half of a surrogate pair", kinds: "json", versions: "23",
			reason: "yajl pairs the first half with whatever escape follows, so that the quote in \\ud83d\\u0027 is not seen; here it is",
			excuse: func(r request, theirs, mine view) bool {
				return regexp.MustCompile(`(?i)\\ud[89ab]`).MatchString(r.body) && forget(theirs, mine, "ARGS", "ARGS_NAMES")
			},
		},
		{
			name: "unfinished token behind the value", kinds: "json", versions: "23", rare: true,
			reason: "yajl does not see that a string begins behind the end",
			excuse: refusedByUs("trailing garbage"),
		},
		{
			name: "two colons", kinds: "xml", versions: "23",
			reason: "libxml2 takes names that break the rules of namespaces; they are refused",
			excuse: refusedByUs("expected element name", "expected attribute name", "invalid XML name", "element name"),
		},
		{
			name: "encodings", kinds: "xml", versions: "23", rare: true,
			reason: "iconv knows utf-7 and others that no browser does; a document in them is refused, so nothing hides in it",
			excuse: refusedByUs("unsupported encoding"),
		},
		{
			name: "markup in entities", kinds: "xml", versions: "23", rare: true,
			reason: "markup in an entity is shown as text, so that rules see its attributes too",
			excuse: func(r request, theirs, mine view) bool {
				return strings.Contains(r.body, "<!ENTITY") && forget(theirs, mine, "XML:/*", "XML://@*")
			},
		},
		{
			name: "no XML", kinds: "xml", versions: "3", rare: true,
			reason: "an empty body is no error in version 2",
			excuse: func(r request, theirs, mine view) bool {
				return r.body == "" && forget(theirs, mine, everything()...)
			},
		},
		{
			name: "malformed", kinds: "xml", versions: "3", rare: true,
			reason: "declarations and names that encoding/xml reads with less care than libxml2; what is in the document is inspected",
			excuse: func(r request, theirs, mine view) bool {
				return theirs["REQBODY_ERROR"] == "1" && strings.ContainsAny(r.body, "!?&\x00") && forget(theirs, mine, everything()...)
			},
		},
	}
}
