package collection

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// A record is one string, in memory and in the log alike, never changed once
// made; so a View is a reference to it, and a frame of the log is it:
//
//	uvarint  length of key      ┐
//	bytes    key                │ head
//	uvarint  CREATE_TIME        │ Unix seconds
//	uvarint  LAST_UPDATE_TIME   │ seconds after CREATE_TIME
//	uvarint  TIMEOUT            │ seconds
//	uvarint  UPDATE_COUNTER     ┘
//	then for each variable, in the order in which they were first set:
//	byte     flags: hasValue, hasExpiry, absolute
//	uvarint  length of name, bytes name (lower case)
//	uvarint  expiry, Unix seconds (hasExpiry)
//	uvarint  length of value, bytes value (hasValue)
//
// A variable may have an expiry and no value: expirevar before setvar, or
// setvar:!name, which in ModSecurity leaves __expire_name behind.
const (
	hasValue  = 1 << iota
	hasExpiry // __expire_NAME exists
	absolute  // set to a value, not only counted up and down: a tag
)

// head is the fixed part of a record.
type head struct {
	key                                string
	created, updated, timeout, counter int64
}

// expired tells whether the whole record has timed out.
func (h head) expired(now int64) bool { return h.updated+h.timeout <= now }

// variable is one decoded variable.
type variable struct {
	name, value string
	expiry      int64
	flags       byte
}

func (v variable) expired(now int64) bool { return v.flags&hasExpiry != 0 && v.expiry <= now }

var errRecord = errors.New("not a record")

// takeUvarint reads a number off the front of s. ok is false when none is there.
func takeUvarint(s string) (n uint64, rest string, ok bool) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		c := s[i]
		if c < 0x80 {
			if i == 9 && c > 1 {
				return 0, s, false
			}
			return n | uint64(c)<<(7*i), s[i+1:], true
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	return 0, s, false
}

func takeBytes(s string) (b, rest string, ok bool) {
	n, rest, ok := takeUvarint(s)
	if !ok || n > uint64(len(rest)) {
		return "", s, false
	}
	return rest[:n], rest[n:], true
}

// takeTime reads a number that stays far from overflow in sums.
func takeTime(s string) (n int64, rest string, ok bool) {
	u, rest, ok := takeUvarint(s)
	return int64(u), rest, ok && u < 1<<60
}

// decodeHead reads the head of a record and returns the variables' bytes.
func decodeHead(rec string) (h head, vars string, err error) {
	var ok [5]bool
	h.key, rec, ok[0] = takeBytes(rec)
	h.created, rec, ok[1] = takeTime(rec)
	h.updated, rec, ok[2] = takeTime(rec)
	h.timeout, rec, ok[3] = takeTime(rec)
	h.counter, rec, ok[4] = takeTime(rec)
	if ok != [5]bool{true, true, true, true, true} {
		return head{}, "", errRecord
	}
	h.updated += h.created
	return h, rec, nil
}

// nextVariable reads one variable off the front of vars.
func nextVariable(vars string) (v variable, rest string, err error) {
	if vars == "" {
		return v, "", errRecord
	}
	v.flags = vars[0]
	var ok bool
	if v.name, rest, ok = takeBytes(vars[1:]); !ok {
		return v, "", errRecord
	}
	if v.flags&hasExpiry != 0 {
		if v.expiry, rest, ok = takeTime(rest); !ok {
			return v, "", errRecord
		}
	}
	if v.flags&hasValue != 0 {
		if v.value, rest, ok = takeBytes(rest); !ok {
			return v, "", errRecord
		}
	}
	return v, rest, nil
}

// checkRecord tells whether every byte of rec, which came from a disk, decodes.
func checkRecord(rec string) (head, error) {
	h, vars, err := decodeHead(rec)
	if err != nil || len(h.key) > MaxKey {
		return h, errRecord
	}
	for vars != "" {
		if _, vars, err = nextVariable(vars); err != nil {
			return h, err
		}
	}
	return h, nil
}

func appendBytes(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendHead(dst []byte, h head) []byte {
	dst = appendBytes(dst, h.key)
	dst = binary.AppendUvarint(dst, uint64(h.created))
	dst = binary.AppendUvarint(dst, uint64(max(h.updated-h.created, 0)))
	dst = binary.AppendUvarint(dst, uint64(h.timeout))
	return binary.AppendUvarint(dst, uint64(h.counter))
}

func appendVariable(dst []byte, v variable) []byte {
	dst = append(dst, v.flags)
	dst = appendBytes(dst, v.name)
	if v.flags&hasExpiry != 0 {
		dst = binary.AppendUvarint(dst, uint64(v.expiry))
	}
	if v.flags&hasValue != 0 {
		dst = appendBytes(dst, v.value)
	}
	return dst
}

// tagged tells whether some variable holds a value that was set, not counted.
func tagged(vars string, now int64) bool {
	for vars != "" {
		v, rest, err := nextVariable(vars)
		if err != nil {
			return false
		}
		if v.flags&(hasValue|absolute) == hasValue|absolute && !v.expired(now) {
			return true
		}
		vars = rest
	}
	return false
}

// fitKey bounds the length of a key, which may be a cookie of a client.
func fitKey(key string) string {
	if len(key) <= MaxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:MaxKey-1-2*len(sum)] + "#" + hex.EncodeToString(sum[:])
}
