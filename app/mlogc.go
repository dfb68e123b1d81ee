package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/trapline/trapline/forward"
)

// Mlogc is the piped-log program: it reads index lines from in until it ends
// and forwards the entries they name as the mlogc.conf says.
func Mlogc(ctx context.Context, in io.Reader, file string, drain bool, log *slog.Logger) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	conf, warnings, err := forward.ParseConf(file, text)
	if path := conf.ErrorLogPath(); path != "" && err == nil {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return fmt.Errorf("ErrorLog of %s: %w", file, err)
		}
		defer f.Close()
		log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: conf.Level()}))
	}
	for _, w := range warnings {
		log.Warn("mlogc configuration", "warning", w)
	}
	if err != nil {
		return err
	}
	conf.Drain = drain
	return forward.Piped(ctx, in, conf, log)
}
