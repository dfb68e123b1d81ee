package audit

import (
	"strconv"
	"time"
)

// logTime is the layout of part A and of index lines; ModSecurity 3 writes no fraction.
const logTime = "02/Jan/2006:15:04:05 -0700"

// appendTime appends t as ModSecurity 2 does, with microseconds:
// 22/Nov/2026:08:26:22.809837 +0000. It is written out by hand because it is on the way of every record.
func appendTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	dst = appendPadded(dst, day, 2)
	dst = append(dst, '/')
	dst = append(dst, month.String()[:3]...)
	dst = append(dst, '/')
	dst = appendPadded(dst, year, 4)
	dst = append(dst, ':')
	dst = appendPadded(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, sec, 2)
	dst = append(dst, '.')
	dst = appendPadded(dst, t.Nanosecond()/1000, 6)
	_, offset := t.Zone()
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append(dst, ' ', sign)
	dst = appendPadded(dst, offset/3600, 2)
	return appendPadded(dst, offset/60%60, 2)
}

func appendPadded(dst []byte, n, width int) []byte {
	for p := pow10(width - 1); p > n && p > 1; p /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// parseTime reads the time of part A and of index lines, with or without a fraction.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(logTime, s) // Parse accepts a fraction that the layout does not have
	if err != nil {
		return time.Time{}, err
	}
	if _, offset := t.Zone(); offset == 0 {
		t = t.UTC()
	}
	return t, nil
}
