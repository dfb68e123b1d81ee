package seclang

import (
	"fmt"
	"strings"
)

// setGuardian reads SecGuardianLog FILE|PROGRAM [env=[!]NAME].
func (s *Settings) setGuardian(target string, all []string) error {
	condition := ""
	switch {
	case len(all) > 2:
		return fmt.Errorf("found %d arguments, expected a file or |program and perhaps env=NAME", len(all))
	case target == "" || target == "|":
		return fmt.Errorf("found %q, expected a file or |program", target)
	case len(all) == 2:
		name, ok := strings.CutPrefix(all[1], "env=")
		if !ok || name == "" || name == "!" {
			return fmt.Errorf("found the condition %q, expected env=NAME or env=!NAME", all[1])
		}
		condition = name
	}
	s.GuardianLog, s.GuardianIf = target, condition
	return nil
}
