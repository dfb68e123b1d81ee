package operator

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// smallDat is a database of cities with one record: 128.0.0.0/1 is El Segundo.
func smallDat() []byte {
	nodes := []byte{
		1, 0, 0, // left of node 0: no record
		2, 0, 0, // right: a record; the offset is from the end of the nodes, less one node
	}
	nodes[0], nodes[3] = 1, 2
	record := append([]byte{225}, "CA\x00El Segundo\x0090245\x00"...)
	lat, lon := (33.9164+180)*10000, (-118.4040+180)*10000
	for _, v := range []int{int(lat + 0.5), int(lon + 0.5), 803310} {
		record = append(record, byte(v), byte(v>>8), byte(v>>16))
	}
	data := append(nodes, 0) // records start after 6 bytes for the node and one
	data = append(data, record...)
	return append(data, 0xff, 0xff, 0xff, 2, 1, 0, 0)
}

func TestGeoDat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "GeoIPCity.dat")
	if err := os.WriteFile(path, smallDat(), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGeo(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	want := []Field{
		{"COUNTRY_CODE", "US"},
		{"COUNTRY_CODE3", "USA"},
		{"COUNTRY_NAME", "United States"},
		{"COUNTRY_CONTINENT", "NA"},
		{"REGION", "CA"},
		{"CITY", "El Segundo"},
		{"POSTAL_CODE", "90245"},
		{"LATITUDE", "33.916401"},
		{"LONGITUDE", "-118.403999"},
		{"DMA_CODE", "803"},
		{"AREA_CODE", "310"},
	}
	if got, ok := g.Lookup(netip.MustParseAddr("200.1.2.3")); !ok || !slices.Equal(got, want) {
		t.Errorf("%v %q", ok, got)
	}
	for _, a := range []string{"1.2.3.4", "2001:db8::1"} {
		if got, ok := g.Lookup(netip.MustParseAddr(a)); ok {
			t.Errorf("%s: %q", a, got)
		}
	}
	const shared = "/work/shared/reference/modsecurity-v3-tests/data/geo/GeoIPCity.dat"
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("SKIPPED: %s is not here", shared)
	}
	if g, err = OpenGeo(shared); err != nil {
		t.Fatal(err)
	}
	if got, ok := g.Lookup(netip.MustParseAddr("64.17.254.216")); !ok || !slices.Equal(got, want) {
		t.Errorf("%v %q", ok, got)
	}
}

// FuzzGeoDat reads any bytes as a database.
func FuzzGeoDat(f *testing.F) {
	f.Add(smallDat(), uint32(0xc8010203))
	f.Add([]byte{0xff, 0xff, 0xff, 1}, uint32(1))
	f.Fuzz(func(t *testing.T, data []byte, addr uint32) {
		g, err := parseGeoDat(data)
		if err != nil {
			return
		}
		g.lookup(netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}))
		g.lookup(netip.MustParseAddr("2001:db8::1"))
	})
}
