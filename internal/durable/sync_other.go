//go:build !linux

package durable

import "os"

// syncData makes the bytes of f durable. On macOS Sync is F_FULLFSYNC, which
// also empties the cache of the drive.
func syncData(f *os.File) error { return f.Sync() }
