//go:build peers

package kill

// killCount of the full run.
const killCount = 100
