package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// Aside is an entry that a destination refused for good.
type Aside struct {
	Seq    uint64    `json:"seq"`
	ID     string    `json:"id"`
	Time   time.Time `json:"time"` // of Append
	Reason string    `json:"reason"`
	// Path is the file that holds it: one line of JSON with the fields above, then the entry's bytes.
	Path  string `json:"-"`
	Bytes int64  `json:"-"` // of the entry
}

const asideExt = ".entry"

func (s *Spool) asideDir(reader string) string {
	return filepath.Join(s.cfg.Dir, "set-aside", reader)
}

// SetAside moves an entry out of the reader's way: it is written to set-aside/
// with the reason and then acknowledged. When it returns nil the entry is
// durable there. Past Config.MaxSetAside the oldest is dropped and counted.
func (r *Reader) SetAside(seq uint64, reason string) error {
	r.mu.Lock()
	if _, ok := r.late[seq]; ok {
		delete(r.late, seq)
		r.mu.Unlock()
		return fmt.Errorf("set aside %d: %w", seq, ErrGivenUp)
	}
	i, ok := r.find(seq)
	if !ok || r.window[i].acked {
		r.mu.Unlock()
		return fmt.Errorf("set aside %d: %w", seq, ErrUnknown)
	}
	e, err := r.reread(&r.window[i])
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("set aside %d: %w", seq, err)
	}
	if err := r.writeAside(e, reason); err != nil {
		return fmt.Errorf("set aside %d: %w", seq, err)
	}
	r.s.count.setAside.Add(1)
	return r.Ack(seq)
}

func (r *Reader) writeAside(e Entry, reason string) error {
	dir := r.s.asideDir(r.name)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if len(reason) > 1000 {
		reason = reason[:1000] // a console's answer may be a page
	}
	head, err := json.Marshal(Aside{Seq: e.Seq, ID: e.ID, Time: e.Time, Reason: strings.ToValidUTF8(reason, "?")})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fmt.Sprintf("%016x%s", e.Seq, asideExt))
	if err := durable.WriteFile(path, append(append(head, '\n'), e.Bytes...), 0o600); err != nil {
		return err
	}
	return r.trimAside(dir)
}

// trimAside keeps about the newest Config.MaxSetAside files. It lists the
// directory only when that many are known to be there: a console that refuses
// everything must not make each refusal slower than the one before.
func (r *Reader) trimAside(dir string) error {
	r.asideMu.Lock()
	defer r.asideMu.Unlock()
	if r.asides++; r.asides <= r.s.cfg.MaxSetAside && r.asidesKnown {
		return nil
	}
	files, err := asideFiles(dir)
	if err != nil {
		return err
	}
	if most := r.s.cfg.MaxSetAside; len(files) > most {
		for len(files) > most-most/100 {
			if err := os.Remove(filepath.Join(dir, files[0])); err != nil {
				return err
			}
			r.s.count.dropped.Add(1)
			files = files[1:]
		}
	}
	r.asides, r.asidesKnown = len(files), true
	return nil
}

// asideFiles returns the names in order of sequence number.
func asideFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name, and the names by number
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), asideExt) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Asides lists what the reader called name has set aside, oldest first. A file
// that cannot be read is listed with the reason.
func (s *Spool) Asides(name string) ([]Aside, error) {
	if !validName(name) {
		return nil, fmt.Errorf("reader %q: not a name", name)
	}
	dir := s.asideDir(name)
	files, err := asideFiles(dir)
	if err != nil {
		return nil, err
	}
	var out []Aside
	for _, f := range files {
		path := filepath.Join(dir, f)
		b, err := os.ReadFile(path)
		if err != nil {
			return out, err
		}
		a, body, err := parseAside(b)
		if err != nil {
			a.Reason = "file is damaged"
		}
		a.Path, a.Bytes = path, int64(len(body))
		out = append(out, a)
	}
	return out, nil
}

// ReadAside returns an entry that was set aside, from the file that Asides named.
func ReadAside(path string) (Aside, []byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Aside{}, nil, err
	}
	a, body, err := parseAside(b)
	if err != nil {
		return Aside{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	a.Path, a.Bytes = path, int64(len(body))
	return a, body, nil
}

// Requeue puts an entry that was set aside at the end of the queue again, for
// every reader (a console that has it knows it by its id), and removes the file
// once the entry is durable there.
func (s *Spool) Requeue(ctx context.Context, path string) error {
	a, body, err := ReadAside(path)
	if err != nil {
		return fmt.Errorf("requeue: %w", err)
	}
	if err := s.Append(ctx, a.ID, body); err != nil {
		return fmt.Errorf("requeue: %w", err)
	}
	return durable.Remove(path)
}

func parseAside(b []byte) (Aside, []byte, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	var a Aside
	if !ok || json.Unmarshal(head, &a) != nil {
		return Aside{}, b, errors.New("no entry that was set aside")
	}
	return a, body, nil
}
