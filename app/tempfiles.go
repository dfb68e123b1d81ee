package app

import (
	"errors"
	"io/fs"
)

// sweepTempFiles removes the uploads that earlier processes left in the hosts' temporary directories when they were killed.
func (s *Sensor) sweepTempFiles(set *settings) {
	seen := map[string]bool{}
	for _, h := range set.hosts {
		dir := h.engine.Settings().TmpDir
		if seen[dir] {
			continue
		}
		seen[dir] = true
		n, err := h.engine.SweepTempFiles()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("temporary files of uploads stay", "dir", dir, "error", err)
		}
		if n > 0 {
			s.log.Info("removed uploads that a killed process left", "dir", dir, "files", n)
		}
	}
}
