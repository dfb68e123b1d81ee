package operator

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// GeoDB is a MaxMind database of cities or countries. It is safe for concurrent use.
type GeoDB struct {
	reader *maxminddb.Reader
}

// OpenGeo opens a database in the MaxMind DB format (.mmdb).
func OpenGeo(path string) (*GeoDB, error) {
	if strings.HasSuffix(strings.ToLower(path), ".dat") {
		return nil, fmt.Errorf("%s: expected a MaxMind DB file (.mmdb): the format .dat ended in 2018", path)
	}
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open GEO database %s: %w", path, err)
	}
	return &GeoDB{r}, nil
}

// Close frees the database; no Lookup may run then or later.
func (g *GeoDB) Close() error { return g.reader.Close() }

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
		Code  string            `maxminddb:"iso_code"`
		Names map[string]string `maxminddb:"names"`
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
// English; COUNTRY_CONTINENT is the name, as in libmodsecurity 3, the only
// other engine that reads this format. AREA_CODE is not in these databases: 0.
func (g *GeoDB) Lookup(a netip.Addr) ([]Field, bool) {
	result := g.reader.Lookup(a)
	var rec geoRecord
	if !result.Found() || result.Decode(&rec) != nil {
		return nil, false
	}
	region := ""
	if len(rec.Subdivisions) > 0 {
		region = name(rec.Subdivisions[0].Names, rec.Subdivisions[0].Code)
	}
	return []Field{
		{"COUNTRY_CODE", rec.Country.Code},
		{"COUNTRY_CODE3", alpha3(rec.Country.Code)},
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

// alpha3 is the three-letter code of a country (ISO 3166-1), "" when unknown.
func alpha3(code string) string {
	for i := 0; i+5 <= len(countries) && len(code) == 2; i += 6 {
		if countries[i:i+2] == code {
			return countries[i+2 : i+5]
		}
	}
	return ""
}

// countries is alpha-2 and alpha-3 of every country.
const countries = "ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA AZAZE BABIH BBBRB BDBGD BEBEL " +
	"BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA BSBHS BTBTN BVBVT BWBWA BYBLR BZBLZ CACAN CCCCK CDCOD " +
	"CFCAF CGCOG CHCHE CICIV CKCOK CLCHL CMCMR CNCHN COCOL CRCRI CUCUB CVCPV CWCUW CXCXR CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA " +
	"DODOM DZDZA ECECU EEEST EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF " +
	"GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD HNHND HRHRV HTHTI HUHUN " +
	"IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN ISISL ITITA JEJEY JMJAM JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA " +
	"KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO LBLBN LCLCA LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE " +
	"MFMAF MGMDG MHMHL MKMKD MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM " +
	"NCNCL NENER NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG PHPHL PKPAK PLPOL PMSPM " +
	"PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA SASAU SBSLB SCSYC SDSDN SESWE SGSGP SHSHN SISVN " +
	"SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD STSTP SVSLV SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF TGTGO THTHA TJTJK TKTKL " +
	"TLTLS TMTKM TNTUN TOTON TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR " +
	"VNVNM VUVUT WFWLF WSWSM XKXKX YEYEM YTMYT ZAZAF ZMZMB ZWZWE "
