package seclang

import (
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang/body"
	"github.com/trapline/trapline/seclang/operator"
)

// bodyScalar are the variables about the request body and its parsing.
func (tx *Transaction) bodyScalar(v varID) (string, bool) {
	q := &tx.request
	switch v {
	case vReqbodyProcessor:
		return tx.ctl.processor, true // "" when there is none: CRS asks with a negated pattern
	case vReqbodyError, vReqbodyProcessorError:
		return flag(q.err != ""), true
	case vReqbodyErrorMsg, vReqbodyProcessorErrorMsg:
		return q.err, q.err != ""
	case vUrlencodedError:
		return flag(q.urlError || q.getError), true
	case vInboundDataError:
		return flag(q.limited || q.tooLarge), true
	case vRequestBody:
		if !q.done || !tx.ctl.forceRequestBody && !keepsText(tx.ctl.processor) {
			return "", false
		}
		return tx.bodyText(), len(q.body) > 0
	case vRequestBodyLength:
		return strconv.FormatInt(q.inspected, 10), q.done // what was read for the rules, in both versions
	case vStreamInputBody:
		if !tx.e.settings.StreamInBody || !q.done {
			return "", false
		}
		if q.rewritten {
			return q.stream, true
		}
		// A request without a body has no stream, one with a body of no bytes has.
		text := tx.bodyText()
		return text, text != "" || q.header("Content-Length") != "" || q.header("Transfer-Encoding") != ""
	case vFullRequest:
		return tx.fullRequest(), true
	case vFullRequestLength:
		return formatInt(int64(len(tx.fullRequest()))), true
	case vFilesCombinedSize:
		return strconv.FormatInt(tx.filesSize(), 10), true
	}
	return tx.multipartFlag(v)
}

// keepsText reports whether REQUEST_BODY is there after that processor. Of multipart, XML and JSON bodies rules look
// at the parts, as in mod_security2; ctl:forceRequestBodyVariable=On shows the text as well.
func keepsText(processor string) bool {
	switch processor {
	case "MULTIPART", "XML", "JSON":
		return false
	}
	return true
}

// fullRequest is the request line, the headers and the body.
func (tx *Transaction) fullRequest() string {
	q := &tx.request
	if q.hasHead {
		head := strings.TrimRight(q.head, "\r\n")
		return head + "\r\n\r\n" + tx.bodyText()
	}
	var b strings.Builder
	b.WriteString(q.line)
	b.WriteString("\r\n")
	for i := range q.headers {
		b.WriteString(q.headers[i].name + ": " + q.headers[i].value + "\r\n")
	}
	b.WriteString("\r\n")
	b.WriteString(tx.bodyText())
	return b.String()
}

func (tx *Transaction) files() []body.File {
	if tx.request.parsed == nil {
		return nil
	}
	return tx.request.parsed.Files
}

func (tx *Transaction) filesSize() (n int64) {
	for i := range tx.files() {
		n += tx.files()[i].Size
	}
	return n
}

func (tx *Transaction) multipartFlag(v varID) (string, bool) {
	var f body.Flags
	if p := tx.request.parsed; p != nil && p.Processor == "MULTIPART" {
		f = p.Multipart
	}
	switch v {
	case vMultipartStrictError:
		return flag(f.Strict()), true
	case vMultipartUnmatchedBoundary:
		return formatInt(int64(f.UnmatchedBoundary)), true
	case vMultipartBoundaryQuoted:
		return flag(f.BoundaryQuoted), true
	case vMultipartBoundaryWhitespace:
		return flag(f.BoundaryWhitespace), true
	case vMultipartCrlfLfLines:
		return flag(f.CRLFAndLF()), true
	case vMultipartDataAfter:
		return flag(f.DataAfter), true
	case vMultipartDataBefore:
		return flag(f.DataBefore), true
	case vMultipartFileLimitExceeded:
		return flag(f.FileLimitExceeded), true
	case vMultipartHeaderFolding:
		return flag(f.HeaderFolding), true
	case vMultipartInvalidHeaderFolding:
		return flag(f.InvalidHeaderFolding), true
	case vMultipartInvalidPart:
		return flag(f.InvalidPart), true
	case vMultipartInvalidQuoting:
		return flag(f.InvalidQuoting), true
	case vMultipartLfLine:
		return flag(f.LFLine), true
	case vMultipartMissingSemicolon:
		return flag(f.SemicolonMissing), true
	}
	return "", false
}

// eachOfBody yields what the body's processor found: files, part headers, XML.
func (tx *Transaction) eachOfBody(s *source, yield func(key, val string)) {
	p := tx.request.parsed
	if p == nil {
		return
	}
	switch s.v {
	case vFiles:
		for i := range p.Files {
			yield(p.Files[i].Field, p.Files[i].Name)
			if x := p.Files[i].ExtendedName; x != "" {
				yield(p.Files[i].Field, x) // filename* beside filename: a back end may take either
			}
		}
	case vFilesNames:
		for i := range p.Files {
			yield(p.Files[i].Field, p.Files[i].Field)
		}
	case vFilesSizes:
		for i := range p.Files {
			yield(p.Files[i].Field, strconv.FormatInt(p.Files[i].Size, 10))
		}
	case vFilesTmpNames:
		for i := range p.Files {
			if p.Files[i].Path != "" {
				yield(p.Files[i].Path, p.Files[i].Path)
			}
		}
	case vFilesTmpContent:
		if !tx.e.settings.TmpSaveUploads {
			break // SecTmpSaveUploadedFiles Off; without it they are kept, as in version 3
		}
		for i := range p.Files {
			yield(p.Files[i].Field, tx.fileContent(&p.Files[i]))
		}
	case vMultipartName:
		if p.MultipartName != "" {
			yield(p.MultipartName, p.MultipartName)
		}
	case vMultipartFilename:
		if p.MultipartFilename != "" {
			yield(p.MultipartFilename, p.MultipartFilename)
		}
	case vMultipartPartHeaders:
		for i := range p.PartHeaders {
			yield(p.PartHeaders[i].Name, p.PartHeaders[i].Value)
		}
	case vXML:
		tx.eachXML(s, yield)
	}
}

// maxFileContent bounds FILES_TMP_CONTENT of a file that was spooled to disk.
const maxFileContent = 16 << 20

func (tx *Transaction) fileContent(f *body.File) string {
	if f.Path == "" || f.Content != "" {
		return f.Content
	}
	if f.Size > maxFileContent {
		return ""
	}
	b, err := defaultReadFile(f.Path) // a file of ours, not one of the configuration
	if err != nil {
		return ""
	}
	return string(b)
}

// eachXML evaluates the XPath of XML:expression; without one it yields a single note that there is a document, as
// mod_security2 does.
func (tx *Transaction) eachXML(s *source, yield func(key, val string)) {
	doc := tx.request.parsed.XML
	if doc == nil {
		return
	}
	if s.xpath == nil {
		yield("", "[XML document tree]")
		return
	}
	found, err := doc.Select(s.xpath)
	if err != nil {
		tx.operatorNote(err)
		return
	}
	for i := range found {
		yield(s.sel.key, found[i].Value)
	}
}

// document is what @validateDTD and @validateSchema look at.
func (tx *Transaction) document() operator.Document {
	q := &tx.request
	d := operator.Document{Text: tx.bodyText(), Failed: q.err != ""}
	if q.parsed != nil && q.parsed.Processor == "XML" {
		d.Parsed, d.WellFormed = true, q.err == ""
	}
	return d
}
