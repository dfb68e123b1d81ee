package transform

import "strings"

func normalizePath(s string) (string, bool) {
	// Only an empty, self or back reference can change a path.
	if !strings.Contains(s, "//") && !dotSegment(s) {
		return s, false
	}
	p, _ := cleanPath(begin(s, len(s)), false)
	return finish(s, p)
}

func normalizePathWin(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return normalizePath(s)
	}
	p, _ := cleanPath(begin(s, len(s)), true)
	return finish(s, p)
}

// dotSegment reports whether some segment of s ends in a dot: "." and ".." do,
// and no path without one can change.
func dotSegment(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && (i+1 == len(s) || s[i+1] == '/') {
			return true
		}
	}
	return false
}

// cleanPath resolves empty, self and back references in place, as
// ModSecurity's normalize_path_inplace does byte for byte: a relative path
// keeps the back references that lead above its start, an absolute one drops
// them, and a trailing slash appears only where there was one. said is what
// ModSecurity says about having changed the path, which is not always so.
func cleanPath(p []byte, win bool) (out []byte, said bool) {
	if len(p) == 0 {
		return p, false
	}
	slash := func(c byte) bool { return c == '/' || win && c == '\\' }
	end := len(p) - 1
	relative := !slash(p[0])
	trailing := slash(p[end])
	src, dst := 0, 0
	hitRoot := false
	for src <= end && dst <= end {
		if win {
			said = forward(p, src) || said
			said = forward(p, src+1) || said
		}
		done := src == end
		if done || p[src+1] == '/' {
			switch {
			case !done && p[src] == '/':
				said = true // an empty segment: the copy below takes care of it
			case p[src] == '.' && dst > 0 && p[dst-1] == '.':
				if relative && (hitRoot || dst-2 <= 0) {
					hitRoot = true
					break
				}
				dst -= 3
				for dst > 0 && p[dst] != '/' {
					dst--
				}
				if dst <= 0 {
					hitRoot = true
					dst = 0
					// The root slash stays when the path ends here.
					if !relative && done {
						dst = 1
					}
				}
				if done {
					return trimSlash(p[:dst], trailing), said
				}
				src++
				said = true
			case p[src] == '.' && dst == 0:
				if done {
					return trimSlash(p[:0], trailing), true
				}
				src++
				said = true
			case p[src] == '.' && p[dst-1] == '/':
				if done {
					return trimSlash(p[:dst], trailing), true
				}
				said = true
				dst--
				src++
			case p[src] != '.' && dst > 0:
				hitRoot = false
			}
		}
		if p[src] == '/' {
			// mod_security2 leaves the last of them as it is, even when that is a backslash.
			for src < end && slash(p[src+1]) {
				src++
			}
			// A relative path that lost its first segments must not become absolute.
			if relative && dst == 0 {
				src++
				continue
			}
		}
		p[dst] = p[src]
		dst++
		src++
	}
	return trimSlash(p[:dst], trailing), said
}

func forward(p []byte, i int) bool {
	if i < len(p) && p[i] == '\\' {
		p[i] = '/'
		return true
	}
	return false
}

func trimSlash(p []byte, trailing bool) []byte {
	if !trailing && len(p) > 0 && p[len(p)-1] == '/' {
		return p[:len(p)-1]
	}
	return p
}
