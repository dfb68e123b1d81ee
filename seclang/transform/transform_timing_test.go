package transform

import (
	"strings"
	"testing"
)

// BenchmarkUnchanged is what a benign value costs: mostly a look at its bytes.
func BenchmarkUnchanged(b *testing.B) {
	in := strings.Repeat("please leave the parcel with the neighbours on the second floor. ", 4)[:256]
	for _, name := range Names() {
		fn, _ := Lookup(name)
		if _, changed := fn(in); changed {
			continue
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				fn(in)
			}
		})
	}
}

// BenchmarkChanged is what a value costs on which every function has work.
func BenchmarkChanged(b *testing.B) {
	in := strings.Repeat("%u0041+%41 \\u0041\\x41 &lt;b&#62; /a/../b//c\\d/* x */ 0x4142 Ab\x00\xc3\xa9 ", 4)[:256]
	for _, name := range Names() {
		fn, _ := Lookup(name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				fn(in)
			}
		})
	}
}
