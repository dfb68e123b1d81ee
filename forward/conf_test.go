package forward

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParseConfHoneypot reads the article's file byte for byte.
func TestParseConfHoneypot(t *testing.T) {
	const path = "testdata/mlogc-honeypot-sensor.conf"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := ParseConf(path, text)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v %v", warnings, err)
	}
	want := Conf{
		CollectorRoot: "/var/log/mlogc", ConsoleURI: "http://204.13.200.239/rpc/auditLogReceiver", SensorUsername: "honeypot-sensor", SensorPassword: "test1234",
		LogStorageDir: "data", TransactionLog: "mlogc-transaction.log", QueuePath: "mlogc-queue.log", ErrorLog: "mlogc-error.log", ErrorLogLevel: 3, LockFile: "mlogc.lck",
		MaxConnections: 10, MaxWorkerRequests: 1000, TransactionDelay: 50 * time.Millisecond, StartupDelay: 5 * time.Second, CheckpointInterval: 15 * time.Second,
		ServerErrorTimeout: time.Minute, InsecureNoCheckCert: true, TLSProtocol: 1, DrainTime: 5 * time.Second,
	}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.StorageDir() != "/var/log/mlogc/data" || c.SpoolDir() != "/var/log/mlogc/mlogc-queue.log-spool" || c.ErrorLogPath() != "/var/log/mlogc/mlogc-error.log" || c.Level() != slog.LevelInfo {
		t.Error(c.StorageDir(), c.SpoolDir(), c.ErrorLogPath(), c.Level())
	}
	d := c.Destination()
	if d.Protocol != ProtocolMlogc || d.Connections != 10 || d.Delay != 50*time.Millisecond || d.MinTLS != tls.VersionTLS11 || !d.Insecure {
		t.Errorf("%+v", d)
	}
	if other, err := os.ReadFile("../../shared/reference/article/mlogc-honeypot-sensor.conf"); err == nil && string(other) != string(text) {
		t.Error("testdata is not the article's file")
	}
}

const least = "ConsoleURI http://c/\nSensorUsername u\nSensorPassword p\nLogStorageDir /d\nQueuePath q\n"

func TestParseConf(t *testing.T) {
	for _, test := range []struct {
		name, text string
		warnings   []string // parts of them, in order
		err        string   // parts of it, by |
		check      func(Conf) bool
	}{
		{"least", least, nil, "", func(c Conf) bool {
			return c.MaxConnections == 10 && c.StorageDir() == "/d" && c.TransactionDelay == 100*time.Millisecond
		}},
		{"missing", "", nil, "f: ConsoleURI is missing|SensorUsername|SensorPassword|LogStorageDir|QueuePath", nil},
		{"unknown", least + "SensorPasword x\n", []string{"f:6: unknown directive SensorPasword is left out; the nearest is SensorPassword"}, "", nil},
		{"last counts", least + "sensorpassword \"q r\"\n", []string{"f:6: SensorPassword also stands in line 3"}, "", func(c Conf) bool { return c.SensorPassword == "q r" }},
		{"tabs and comments", "# x\n\t ConsoleURI \t https://c:8443/x \r\n" + least[len("ConsoleURI http://c/\n"):] + "InsecureNoCheckCert 0", nil, "", func(c Conf) bool { return c.ConsoleURI == "https://c:8443/x" && !c.InsecureNoCheckCert }},
		{"certificate", strings.Replace(least, "http:", "https:", 1), []string{"f:1: the console's certificate is not checked"}, "", nil},
		{
			"numbers", least + "MaxConnections many\nTransactionDelay -1\nTLSProtocol 3\nInsecureNoCheckCert maybe\n", nil,
			`f:6: MaxConnections: "many" found|f:7: TransactionDelay|f:8: TLSProtocol|f:9: InsecureNoCheckCert: "maybe" found, 0 or 1 expected`, nil,
		},
		{"address", strings.Replace(least, "http://c/", "c:80", 1), nil, "f:1: ConsoleURI", nil},
		{"reserved", least + "KeepAlive 150\nKeepAliveTimeout 300\nKeepEntries 2600\n", []string{"f:6: KeepAlive is reserved", "f:7: KeepAliveTimeout", "f:8: KeepEntries 2600"}, "", func(c Conf) bool { return c.KeepEntries == 2600 }},
		{"long line", least + "ErrorLog " + strings.Repeat("x", 5000), []string{"f:6: line of 5009 bytes"}, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, warnings, err := ParseConf("f", []byte(test.text))
			if len(warnings) != len(test.warnings) {
				t.Errorf("warnings %v, want %v", warnings, test.warnings)
			}
			for i := range min(len(warnings), len(test.warnings)) {
				if !strings.Contains(warnings[i].String(), test.warnings[i]) {
					t.Errorf("warning %q, want %q", warnings[i], test.warnings[i])
				}
			}
			if (err != nil) != (test.err != "") {
				t.Fatalf("error %v", err)
			}
			for part := range strings.SplitSeq(test.err, "|") {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want %q in it", err, part)
				}
			}
			if test.check != nil && !test.check(c) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestConfKnowsAllOfMlogc: the names are those in mlogc's own binary, where it is installed.
func TestConfKnowsAllOfMlogc(t *testing.T) {
	binary, err := os.ReadFile("/usr/bin/mlogc")
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: mlogc is not installed: %v", err)
	}
	for _, d := range confDirectives() {
		if strings.HasPrefix(d.name, "KeepAlive") {
			continue // only in its sample file
		}
		if !strings.Contains(string(binary), d.name+"\x00") {
			t.Errorf("mlogc does not know %s", d.name)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"consoleurl": "ConsoleURI", "MaxConection": "MaxConnections", "ErrorLogLvl": "ErrorLogLevel", "": "ErrorLog"} {
		if got := nearest(confDirectives(), name); got != want && name != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	for _, path := range []string{"testdata/mlogc-honeypot-sensor.conf"} {
		text, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(least + "X \"\n\"\nKeepAlive\nErrorLogLevel 99999999999999999999\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, warnings, err := ParseConf("f", text)
		if err == nil {
			d := c.Destination()
			if err := d.complete(); err != nil {
				t.Errorf("a configuration without errors gives no destination: %v", err)
			}
		}
		if slices.ContainsFunc(warnings, func(w Warning) bool { return w.Line < 1 }) {
			t.Error("a warning without a line")
		}
	})
}
