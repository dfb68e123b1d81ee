// Package variables asks mod_security2 and the rule engine for the variables of
// the same request and compares them.
//
// One file of rules copies every variable into the environment, hex-encoded, on
// both sides; requests come as bytes. The test runs with the build tag peers;
// nothing here is part of the program.
package variables
