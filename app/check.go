package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// CheckOptions say what to check.
type CheckOptions struct {
	File string
	Env  func(name string) (string, bool) // answers ${NAME}
	// Rules lists every rule, also where there are many.
	Rules bool
}

// Check loads a configuration as Run would, rules of SecRemoteRules included, opens nothing, and prints what it
// means: ports, hosts, rules by phase, what was assumed, and warnings. The error
// joins every fault of every file, each with file:line, and what would keep Run
// from starting: certificates, folders of logs.
func Check(ctx context.Context, out io.Writer, opt CheckOptions) error {
	conf, warnings, err := loadFile(ctx, opt.File, config.Options{Env: opt.Env})
	if err != nil {
		printWarnings(out, warnings)
		return err
	}
	conf.Dump(out)
	l, err := compile(ctx, conf, warnings, nil, nil, seclang.DebugOutput{})
	for _, line := range l.fetched {
		fmt.Fprintln(out, line)
	}
	if err != nil {
		printWarnings(out, l.warnings)
		return err
	}
	printHosts(out, l, opt.Rules)
	for _, a := range l.assumptions {
		if !slices.Contains(conf.Assumptions, a) { // Dump has printed those
			fmt.Fprintln(out, a)
		}
	}
	printWarnings(out, l.warnings)
	printWarnings(out, remarks(l))
	printWarnings(out, hints(l))
	if err := unready(l); err != nil {
		return err
	}
	fmt.Fprintln(out, "no errors")
	return nil
}

// manyRules is from where on a list of rules hides what else there is to read.
const manyRules = 40

// printHosts prints the rules of each host, once where hosts have the same.
func printHosts(out io.Writer, l *loaded, all bool) {
	var lists []string
	titles := map[string][]string{}
	for _, h := range everyHost(l.conf) {
		text := ruleList(l.engines[h], all)
		if titles[text] == nil {
			lists = append(lists, text)
		}
		titles[text] = append(titles[text], hostTitle(l.conf, h))
	}
	for _, text := range lists {
		fmt.Fprintf(out, "rules of %s\n%s", strings.Join(titles[text], ", "), text)
	}
}

// ruleList writes the rules of a host by phase in the order they run, or how many there are.
func ruleList(engine *seclang.Engine, all bool) string {
	var b strings.Builder
	rules := engine.Rules()
	if len(rules) == 0 {
		return "  none\n"
	}
	for phase := 1; phase <= 5; phase++ {
		n := 0
		for _, r := range rules {
			if r.Phase != phase {
				continue
			}
			n++
			if all || len(rules) <= manyRules {
				b.WriteString(ruleLine(r))
			}
		}
		if n > 0 && !all && len(rules) > manyRules {
			fmt.Fprintf(&b, "  phase %d  %d rules\n", phase, n)
		}
	}
	if !all && len(rules) > manyRules {
		b.WriteString("  (trapline check --rules lists each)\n")
	}
	return b.String()
}

func ruleLine(r seclang.RuleView) string {
	id, mark := strconv.Itoa(r.ID), ""
	if r.ID == 0 {
		id = "-"
	}
	if r.Connection {
		mark = " (holds for a bare connection)"
	}
	return strings.TrimRight(fmt.Sprintf("  phase %d  %-8s %s  %s%s", r.Phase, id, place(r.File, r.Line), r.Msg, mark), " ") + "\n"
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
		fmt.Fprintln(out, "warning:", visible(w.String()))
	}
}
