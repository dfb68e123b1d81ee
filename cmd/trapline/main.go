// Command trapline turns a web server into a sensor against attackers: honeytrap
// ports, ModSecurity rules that remember who touched them, and a console.
//
// This package knows flags, environment and exit status and nothing else; what
// the commands do is in package app.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // only to quiet the standard library's own
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker; see the Makefile.
var version = "devel"

// commands is the command line. The order is the order of the help text.
type commands struct {
	Run       runCmd       `cmd:"" help:"Run traps, real site and console. Without a configuration: the embedded one."`
	Init      initCmd      `cmd:"" help:"Write a commented trapline.conf that does what the default does."`
	Check     checkCmd     `cmd:"" help:"Load a configuration and print hosts, ports, rules by phase, assumptions, warnings and errors."`
	Explain   explainCmd   `cmd:"" help:"Run one request through the rules and print which rule did what."`
	Mlogc     mlogcCmd     `cmd:"" help:"Piped-log program for Apache or nginx with ModSecurity: takes the place of mlogc."`
	Replay    replayCmd    `cmd:"" help:"Import ModSecurity audit logs into a console. Safe to repeat."`
	Events    eventsCmd    `cmd:"" help:"List the newest events of a console's data directory, or show one."`
	Decisions decisionsCmd `cmd:"" help:"List who is banned or watched by the running program, or lift a decision."`
	Status    statusCmd    `cmd:"" help:"What the running program has counted: touches, records, what limits have cut, what waits for which console."`
	Sensors   sensorsCmd   `cmd:"" help:"List the console's sensors; enrol, renew or remove one."`
	Password  passwordCmd  `cmd:"" help:"Give a user of the console a new password, or make a user."`

	Version kong.VersionFlag `help:"Print the version."`
	Log     logFlags         `embed:"" prefix:"log-"`
}

// logFlags choose how the program logs to standard error.
type logFlags struct {
	Level  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	Format string `help:"text or json." enum:"text,json" default:"text"`
}

// world is what commands take from the process.
type world struct {
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	err    io.Writer
	log    *slog.Logger
	reload <-chan os.Signal
}

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli,
		kong.Name("trapline"),
		kong.Description("Unused web ports become honeytraps; whoever touches them is known to the real site before the answer leaves."),
		kong.Vars{"version": versionText(), "data": defaultData()},
		kong.Exit(func(code int) { status = code }),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	command, err := parser.Parse(asked(args))
	if len(args) == 0 {
		return 2
	}
	if status >= 0 { // --help, --version
		return status
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "trapline: %v (trapline %s--help tells more)\n", err, begun(err))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := cli.Log.logger(os.Stderr)
	// The standard library reports odd answers of upstreams on a log of its own, in the words of whoever sent them.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer())
	w := &world{ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr, log: logger, reload: reloads()}
	if err := command.Run(w); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(os.Stderr, "trapline:", err)
		}
		return 1
	}
	return 0
}

// asked turns "trapline" and "trapline help [COMMAND]" into what shows the help.
func asked(args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	if args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// begun is the command that a wrong line began with, followed by a space, or nothing.
func begun(err error) string {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil || wrong.Context.Selected() == nil {
		return ""
	}
	return wrong.Context.Selected().Path() + " "
}

// errSaid is returned by a command that has already printed what is wrong.
var errSaid = errors.New("already said")

func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if f.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// versionText names the build: the linker's version, or the commit that go build saw.
func versionText() string {
	if version != "devel" {
		return "trapline " + version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "trapline devel-" + s.Value[:12]
			}
		}
	}
	return "trapline devel"
}
