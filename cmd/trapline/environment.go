package main

import (
	"os"
	"path/filepath"
)

// defaultData is where data lies when --data is not given: what systemd gave
// us, else the system's place for root, else the user's state directory.
func defaultData() string {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/lib/trapline"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "trapline")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "trapline")
	}
	return "trapline-data"
}
