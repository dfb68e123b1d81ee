package operator

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// GeoDB is a MaxMind database of cities or countries. It is safe for concurrent use.
type GeoDB struct {
	reader *maxminddb.Reader // nil for an old database
	old    *geoDat
	atlas  atlas
}

// OpenGeo opens a database: the MaxMind DB format (.mmdb), or the format of
// before 2019 (GeoLiteCity.dat, GeoIP.dat) that mod_security2 reads.
func OpenGeo(path string) (*GeoDB, error) {
	r, err := maxminddb.Open(path)
	if err == nil {
		return &GeoDB{reader: r, atlas: readAtlas()}, nil
	}
	if !strings.HasSuffix(strings.ToLower(path), ".dat") {
		return nil, fmt.Errorf("open GEO database %s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open GEO database: %w", err)
	}
	old, err := parseGeoDat(data)
	if err != nil {
		return nil, fmt.Errorf("open GEO database %s: %w", path, err)
	}
	return &GeoDB{old: old}, nil
}

// Close frees the database; no Lookup may run then or later.
func (g *GeoDB) Close() error {
	if g.reader == nil {
		return nil
	}
	return g.reader.Close()
}

// geoRecord is what we read of a record of the City and Country databases.
type geoRecord struct {
	Continent struct {
		Code  string            `maxminddb:"code"`
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"continent"`
	Country struct {
		Code  string            `maxminddb:"iso_code"`
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"city"`
	Postal struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"postal"`
	Location struct {
		Latitude  float64 `maxminddb:"latitude"`
		Longitude float64 `maxminddb:"longitude"`
		Metro     uint    `maxminddb:"metro_code"`
	} `maxminddb:"location"`
}

// Lookup returns the fields of the collection GEO for an address. Names are in
// English. In the new format COUNTRY_CONTINENT is the name, as in
// libmodsecurity 3, the only other engine that reads it, and there is no
// AREA_CODE; in the old one it is the code, as the reference manual says.
func (g *GeoDB) Lookup(a netip.Addr) ([]Field, bool) {
	if g.old != nil {
		return g.old.lookup(a)
	}
	result := g.reader.Lookup(a)
	var rec geoRecord
	if !result.Found() || result.Decode(&rec) != nil {
		return nil, false
	}
	region := ""
	if len(rec.Subdivisions) > 0 {
		region = rec.Subdivisions[0].Code // the manual: "the two character region"
	}
	return []Field{
		{"COUNTRY_CODE", rec.Country.Code},
		{"COUNTRY_CODE3", g.atlas.code3(rec.Country.Code)},
		{"COUNTRY_NAME", name(rec.Country.Names, "")},
		{"COUNTRY_CONTINENT", name(rec.Continent.Names, rec.Continent.Code)},
		{"REGION", region},
		{"CITY", name(rec.City.Names, "")},
		{"POSTAL_CODE", rec.Postal.Code},
		{"LATITUDE", strconv.FormatFloat(rec.Location.Latitude, 'f', 6, 64)},
		{"LONGITUDE", strconv.FormatFloat(rec.Location.Longitude, 'f', 6, 64)},
		{"DMA_CODE", strconv.Itoa(int(rec.Location.Metro))},
		{"AREA_CODE", "0"},
	}, true
}

func name(names map[string]string, otherwise string) string {
	if n := names["en"]; n != "" {
		return n
	}
	return otherwise
}

// geoLookup is @geoLookup.
type geoLookup struct {
	lookup func(netip.Addr) ([]Field, bool)
}

func newGeoLookup(_ string, env Env) (Operator, error) {
	if env.Geo == nil && env.Warn != nil {
		env.Warn("@geoLookup never matches without a database: expected SecGeoLookupDb with a .mmdb file")
	}
	return geoLookup{env.Geo}, nil
}

var errNoGeo = errors.New("geo lookup without a database: set SecGeoLookupDb")

func (o geoLookup) Match(in, _ string, m *Result) bool {
	if o.lookup == nil {
		m.Err = errNoGeo
		return false
	}
	a, err := netip.ParseAddr(in)
	if err != nil {
		return false // host names are not resolved: a request must not wait for DNS
	}
	fields, ok := o.lookup(a.Unmap().WithZone(""))
	if !ok {
		return false
	}
	m.Geo = fields
	if m.Explain {
		m.Text = fmt.Sprintf("Geo lookup for \"%s\" succeeded at %s.", escapeText(in), m.Target)
	}
	return true
}
