// Package crs runs the regression tests of the OWASP Core Rule Set against the
// rule engine, over real TCP connections and with the bytes as they came.
//
// The tests and the rules come from github.com/corazawaf/coraza-coreruleset;
// requests are built as go-ftw builds them and judged by the rules that
// matched. exceptions.txt lists the tests that cannot pass, each with its
// reason. The test runs with the build tag peers; nothing here is part of the
// program.
package crs
