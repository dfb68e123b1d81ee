package app

import (
	"errors"
	"fmt"
	"io"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// Check loads a configuration as Run would, opens nothing, and prints what it
// means: ports, hosts, rules by phase, what was assumed, and warnings. The error
// joins every fault of every file, each with file:line.
func Check(out io.Writer, file string) error {
	conf, warnings, err := config.Load(file, config.Options{})
	if err != nil {
		printWarnings(out, warnings)
		return err
	}
	conf.Dump(out)
	l, err := compile(conf, warnings, nil)
	if l == nil {
		return err
	}
	shown := map[*seclang.Engine]bool{}
	for _, h := range usedHosts(conf) {
		if engine := l.engines[h]; engine != nil && !shown[engine] {
			shown[engine] = true
			printRules(out, conf, h, engine)
		}
	}
	for _, a := range l.assumptions {
		if !isOf(conf.Assumptions, a) { // Dump has printed those
			fmt.Fprintln(out, a)
		}
	}
	printWarnings(out, l.warnings)
	if err != nil {
		return err
	}
	for _, h := range usedHosts(conf) {
		for _, p := range h.Pipes {
			if _, perr := mlogcDestination(p); p.Mlogc && perr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w", place(p.File, p.Line), p.Directive, perr))
			}
		}
	}
	if err = uniqueErrors(err); err != nil {
		return err
	}
	fmt.Fprintln(out, "no errors")
	return nil
}

func isOf(list []seclang.Assumption, a seclang.Assumption) bool {
	for _, b := range list {
		if a == b {
			return true
		}
	}
	return false
}

// printRules prints the effective rules of a host by phase, in the order they run.
func printRules(out io.Writer, conf *config.Config, h *config.Host, engine *seclang.Engine) {
	rules := engine.Rules()
	fmt.Fprintf(out, "rules of %s\n", hostTitle(conf, h))
	for phase := 1; phase <= 5; phase++ {
		for _, r := range rules {
			if r.Phase != phase {
				continue
			}
			id, mark := fmt.Sprint(r.ID), ""
			if r.ID == 0 {
				id = "-"
			}
			if r.Connection {
				mark = " (holds for a bare connection)"
			}
			fmt.Fprintf(out, "  phase %d  %-8s %s  %s%s\n", phase, id, place(r.File, r.Line), r.Msg, mark)
		}
	}
}

func hostTitle(conf *config.Config, h *config.Host) string {
	switch {
	case h == conf.Main:
		return "the main server"
	case h.Name != "":
		return h.Name
	}
	return "the host at " + place(h.File, h.Line)
}

func printWarnings(out io.Writer, warnings []seclang.Warning) {
	for _, w := range warnings {
		fmt.Fprintln(out, "warning:", w)
	}
}
