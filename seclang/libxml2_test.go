//go:build libxml2

package seclang_test

// withLibxml2 says that DTD and schema validation is in this build.
const withLibxml2 = true
