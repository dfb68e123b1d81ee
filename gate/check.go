package gate

import (
	"crypto/tls"

	"github.com/trapline/trapline/config"
)

// CheckTLS reads the certificates of every port of the real site that speaks TLS,
// as New does, and joins what is wrong with them. Nothing is kept.
func CheckTLS(conf *config.Config) error {
	return (&Gate{}).secureTable(&table{config: conf, secure: map[uint16]*tls.Config{}})
}
