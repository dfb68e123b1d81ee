package seclang

import (
	"encoding/base64"
	"strings"
)

// remoteUser is the name that the client signs in with: what the server established, or the name in a Basic
// Authorization header, which nobody has checked.
func (tx *Transaction) remoteUser() string {
	if tx.conn.RemoteUser != "" {
		return tx.conn.RemoteUser
	}
	scheme, cred, _ := strings.Cut(tx.request.header("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(cred))
	if err != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(raw), ":")
	return user
}

func (tx *Transaction) authType() string {
	if tx.conn.AuthType != "" {
		return tx.conn.AuthType
	}
	scheme, _, _ := strings.Cut(tx.request.header("Authorization"), " ")
	return scheme
}
