package operator

import (
	_ "embed"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

//go:embed countries.txt
var countriesText string

// country is a line of countries.txt.
type country struct{ code, code3, continent, name string }

// atlas is the countries in the order of the old databases.
type atlas []country

func readAtlas() atlas {
	var all atlas
	for line := range strings.Lines(countriesText) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 4); len(f) == 4 && f[0] != "#" {
			all = append(all, country{f[0], f[1], f[2], f[3]})
		}
	}
	return all
}

// code3 is the three-letter code of a country, "" when it is not known.
func (a atlas) code3(code string) string {
	for _, c := range a {
		if c.code == code {
			return c.code3
		}
	}
	return ""
}

// geoDat is a database of MaxMind's format of before 2019, as GeoIP.dat or
// GeoLiteCity.dat: a binary tree over the bits of the address, whose leaves are
// numbers above the number of nodes.
//
//	node:   left (3 bytes, little end first) | right (3 bytes)
//	record: country (1) | region NUL | city NUL | postal code NUL | latitude (3) | longitude (3) | US codes (3)
//	end:    ff ff ff | kind (1) | number of nodes (3), somewhere in the last 20 bytes
type geoDat struct {
	data  []byte
	kind  byte
	nodes int
	atlas atlas
}

// The kinds of database.
const (
	datCountry   = 1
	datCityRev1  = 2 // with codes of the US
	datCityRev0  = 6
	datCountryV6 = 12
	datCityV6    = 30
	datCityV6R0  = 31

	datCountryBase = 0xffff00 // leaves of a country database
)

func parseGeoDat(data []byte) (*geoDat, error) {
	g := &geoDat{data: data, kind: datCountry, nodes: datCountryBase, atlas: readAtlas()}
	for i := len(data) - 3; i >= 0 && i > len(data)-23; i-- {
		if data[i] != 0xff || data[i+1] != 0xff || data[i+2] != 0xff || i+3 >= len(data) {
			continue
		}
		if g.kind = data[i+3]; g.kind >= 106 {
			g.kind -= 105
		}
		if g.city() {
			if i+7 > len(data) {
				return nil, errors.New("the database is cut at its end")
			}
			g.nodes = little(data[i+4:])
		}
		break
	}
	if !g.city() && g.kind != datCountry && g.kind != datCountryV6 || len(data) < 6 {
		return nil, errors.New("expected a database of countries or cities of MaxMind")
	}
	return g, nil
}

func (g *geoDat) city() bool {
	return g.kind == datCityRev1 || g.kind == datCityRev0 || g.kind == datCityV6 || g.kind == datCityV6R0
}

func little(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// lookup finds the fields of GEO. Offsets come from the file: each is checked.
func (g *geoDat) lookup(a netip.Addr) ([]Field, bool) {
	v6 := g.kind == datCountryV6 || g.kind == datCityV6 || g.kind == datCityV6R0
	if a.Is4() == v6 {
		return nil, false
	}
	at := 0
	bits := a.AsSlice()
	for i := range len(bits) * 8 {
		o := 6 * at
		if bits[i/8]>>(7-i%8)&1 == 1 {
			o += 3
		}
		if o+3 > len(g.data) {
			return nil, false
		}
		if at = little(g.data[o:]); at < g.nodes {
			continue
		}
		if !g.city() {
			return g.country(at - datCountryBase)
		}
		if at == g.nodes {
			return nil, false
		}
		return g.record(at + 5*g.nodes)
	}
	return nil, false
}

// country is what a database of countries knows.
func (g *geoDat) country(index int) ([]Field, bool) {
	if index <= 0 || index >= len(g.atlas) {
		return nil, false
	}
	return datFields(g.atlas[index], "", "", "", 0, 0, 0), true
}

// record reads the record of a city at offset o.
func (g *geoDat) record(o int) ([]Field, bool) {
	if o >= len(g.data) || int(g.data[o]) >= len(g.atlas) {
		return nil, false
	}
	c := g.atlas[g.data[o]]
	rest := string(g.data[o+1 : min(len(g.data), o+1+512)])
	region, rest, ok1 := strings.Cut(rest, "\x00")
	city, rest, ok2 := strings.Cut(rest, "\x00")
	postal, rest, ok3 := strings.Cut(rest, "\x00")
	if !ok1 || !ok2 || !ok3 || len(rest) < 6 {
		return nil, false
	}
	// Kept in single precision, as libGeoIP does, which shows in the last digits.
	latitude := float32(float64(little([]byte(rest)))/10000 - 180)
	longitude := float32(float64(little([]byte(rest[3:])))/10000 - 180)
	us := 0
	if g.kind == datCityRev1 && c.code == "US" && len(rest) >= 9 {
		us = little([]byte(rest[6:]))
	}
	return datFields(c, region, latin1(city), postal, latitude, longitude, us), true
}

func datFields(c country, region, city, postal string, latitude, longitude float32, us int) []Field {
	return []Field{
		{"COUNTRY_CODE", c.code},
		{"COUNTRY_CODE3", c.code3},
		{"COUNTRY_NAME", c.name},
		{"COUNTRY_CONTINENT", c.continent},
		{"REGION", region},
		{"CITY", city},
		{"POSTAL_CODE", postal},
		{"LATITUDE", strconv.FormatFloat(float64(latitude), 'f', 6, 64)},
		{"LONGITUDE", strconv.FormatFloat(float64(longitude), 'f', 6, 64)},
		{"DMA_CODE", strconv.Itoa(us / 1000)},
		{"AREA_CODE", strconv.Itoa(us % 1000)},
	}
}

// latin1 is s, which these databases write in ISO 8859-1, in UTF-8.
func latin1(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}
