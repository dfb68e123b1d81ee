package audit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// NewID returns a unique id in the form of Apache's mod_unique_id: 27 characters
// of A-Z, a-z, 0-9, '@' and '-'. The first six carry the second at which it was
// made, the rest are 120 random bits, so a client cannot guess the id of the
// transaction it is in: a forged audit entry cannot name it.
func NewID() string { return newID(time.Now()) }

// uniqueIDEncoding is mod_unique_id's alphabet, which has '@' and '-' where base64 has '+' and '/'.
var uniqueIDEncoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@-").WithPadding(base64.NoPadding)

func newID(now time.Time) string {
	var raw [20]byte
	binary.BigEndian.PutUint32(raw[:4], uint32(now.Unix())) //nolint:gosec // the low 32 bits are the format, as in mod_unique_id
	if _, err := rand.Read(raw[4:]); err != nil {
		panic("audit: the system gives no random bytes: " + err.Error())
	}
	var text [27]byte
	uniqueIDEncoding.Encode(text[:], raw[:])
	return string(text[:])
}
