//go:build !unix

package seclang_test

import "time"

var started = time.Now()

// cpuTime falls back to wall time where the system does not tell.
func cpuTime() time.Duration { return time.Since(started) }
