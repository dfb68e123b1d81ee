// Package bodies compares what the rules see of a body with what they see in mod_security2 on Apache and in libmodsecurity
// 3: hostile bodies made from seeds, and lists of known quarrels between parsers. Every class of difference is named in
// differences_test.go with the reason for our side of it.
package bodies
