package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trapline/trapline/decision"
)

// adminSocket is where the running program answers the commands of its owner.
// Its mode 0600 and the data directory's 0700 say who may ask.
const adminSocket = "admin.sock"

// serveAdmin answers `trapline decisions`.
func (s *Sensor) serveAdmin() error {
	path := filepath.Join(s.data, adminSocket)
	// One left by kill -9; the lock on the data directory says that nobody serves it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("administration socket: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(s.alive, "unix", path)
	if yes, _ := bearable(s.data, err); yes {
		return fmt.Errorf("administration socket: %w", err)
	}
	if err != nil { // paths of sockets have 107 bytes at most; the program works without
		s.log.Warn("trapline decisions cannot ask this process", "err", err)
		return nil
	}
	// The data directory may be an older one that others may enter.
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("administration socket: %w", errors.Join(err, ln.Close()))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /decisions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.decisions.List(decision.Filter{}))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.status())
	})
	mux.HandleFunc("DELETE /decisions/{address}", func(w http.ResponseWriter, r *http.Request) {
		address, err := netip.ParseAddr(r.PathValue("address"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err := s.lift(r.Context(), address); {
		case errors.Is(err, errNoDecision):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	s.serveHTTP("administration", ln, mux)
	return nil
}

// ask sends a request to the program that runs on the data directory.
func ask(ctx context.Context, data, method, path string) (*http.Response, error) {
	socket := filepath.Join(data, adminSocket)
	client := &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://trapline"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no trapline runs on the data directory %s (start one, or choose its directory with --data): %w", data, err)
	}
	if res.StatusCode >= 400 {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return nil, errors.New(strings.TrimSpace(string(text)))
	}
	return res, nil
}

// ListDecisions prints who is banned or watched by the program that runs on the data directory.
func ListDecisions(ctx context.Context, out io.Writer, data string) error {
	res, err := ask(ctx, data, http.MethodGet, "/decisions")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var list []decision.Decision
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return fmt.Errorf("read the decisions: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "ADDRESS\tTYPE\tUNTIL (%s)\tWHY\tEVIDENCE\n", time.Now().Format("MST"))
	for _, d := range list {
		evidence := ""
		if len(d.Evidence) > 0 {
			evidence = d.Evidence[len(d.Evidence)-1]
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Value, d.Type, d.Until.Local().Format(time.DateTime), d.Scenario, evidence)
	}
	return w.Flush()
}

// DeleteDecision lifts the decisions on an address, and the tag they came from.
func DeleteDecision(ctx context.Context, out io.Writer, data, address string) error {
	if _, err := netip.ParseAddr(address); err != nil {
		return fmt.Errorf("found %q, expected the address of a client such as 192.0.2.1 or 2001:db8::1", address)
	}
	res, err := ask(ctx, data, http.MethodDelete, "/decisions/"+address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	_ = res.Body.Close()
	_, err = fmt.Fprintf(out, "%s is free again\n", address)
	return err
}
