package audit

import (
	"strconv"
	"time"
)

// AppendGuardian appends the line that mod_security2 writes to SecGuardianLog for a request that took so long, newline
// included: what an index line begins with, microseconds, whole seconds, and the two fields "MODSEC_MESSAGE"
// and MODSEC_RATING that no version ever filled. Of l it takes no File, Offset, Size and MD5.
func AppendGuardian(dst []byte, l *IndexLine, took time.Duration) []byte {
	start := len(dst)
	dst, request, end := appendCombined(dst, l)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, took.Microseconds(), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(took/time.Second), 10)
	dst = append(dst, ` "-" 0`...)
	return endLine(dst, start, request, end, l.Limited)
}
