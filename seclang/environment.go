package seclang

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/trapline/trapline/seclang/operator"
)

// automatonBudget is how much memory the lazily built automata of one engine may take together.
const automatonBudget = 24 << 20

// operatorEnv prepares what all operators share.
func (c *compiler) operatorEnv() {
	c.env = operator.Env{
		Match:     c.patternOptions(),
		Resolver:  net.DefaultResolver,
		HTTPBLKey: func() string { return c.settings.HTTPBlKey },
		Warn:      func(text string) { c.warn(text) },
	}
	key := c.settings.HTTPBlKey
	c.env.HTTPBLKey = func() string { return key }
	if name := c.settings.GeoLookupDB; name != "" {
		c.at = c.settings.Origin["secgeolookupdb"]
		db, err := operator.OpenGeo(c.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			c.fail(fmt.Errorf("SecGeoLookupDb: %w", err))
			return
		}
		if err != nil {
			c.warn("SecGeoLookupDb: " + err.Error() + "; @geoLookup never matches")
			return
		}
		c.env.Geo = func(a netip.Addr) ([]operator.Field, bool) { return db.Lookup(a) }
	}
}

// envFor is the environment of r's operator: data files are looked for beside the rule's file.
func (c *compiler) envFor(r *rule) operator.Env {
	env := c.env
	env.ReadFile = func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) && r.file != "" {
			name = filepath.Join(filepath.Dir(c.origin(r.file)), name)
		}
		return c.cfg.ReadFile(name)
	}
	return env
}
