//go:build !peers

package kill

// killCount is small here: `go test ./...` is to be quick. The full run kills a hundred times.
const killCount = 6
