package body

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

// File is one uploaded file.
type File struct {
	// Field is the name of the form field, Name the file name as the client wrote it.
	Field, Name string
	// ExtendedName is filename* (RFC 8187), decoded, when it is there beside
	// Name: back ends differ in which of the two they take.
	ExtendedName string
	// ContentType is that of the part, "" when it has none.
	ContentType string
	// Size is the size in bytes.
	Size int64
	// Content is the content, as long as it is kept in memory.
	Content string
	// Path is the file on disk that holds the content; "" when there is none.
	Path string
	// Offset is where the content begins in the body.
	Offset int
}

// openFile is an upload being received.
type openFile struct {
	size    int64
	memory  []byte
	f       *os.File
	out     *bufio.Writer // to f: pieces come as short as a line
	path    string
	dropped bool // over SecUploadFileLimit and memory: only counted
}

// fileStore decides where uploads go: memory first, disk when they are large
// or when somebody will want them as files.
type fileStore struct {
	c       *Config
	memory  int64
	files   int
	limited bool
}

func (s *fileStore) open() *openFile { return &openFile{} }

func (s *fileStore) write(o *openFile, p string) error {
	if p == "" && o.size > 0 {
		return nil
	}
	o.size += int64(len(p))
	wanted := s.c.Extract || s.c.KeepFiles
	if o.f == nil && !o.dropped && (wanted || s.memory+int64(len(p)) > s.c.MemoryLimit) {
		if err := s.spill(o, wanted); err != nil {
			return err
		}
	}
	switch {
	case o.f != nil:
		if _, err := o.out.WriteString(p); err != nil {
			return fmt.Errorf("writing to %q failed: %w", o.path, err)
		}
	case !o.dropped:
		s.memory += int64(len(p))
		o.memory = append(o.memory, p...)
	}
	return nil
}

// spill moves an upload to a file of its own in SecTmpDir. mkstemp's rule holds: the name
// cannot be guessed, and the file is not there before.
func (s *fileStore) spill(o *openFile, wanted bool) error {
	if s.files >= s.c.UploadFileLimit {
		s.limited = s.limited || wanted
		o.dropped = true
		return nil
	}
	f, err := s.c.Temp.create(s.c.TmpDir, s.c.ID)
	if err != nil {
		return fmt.Errorf("failed to create file: %w", err)
	}
	s.files++
	o.f, o.path = f, f.Name()
	o.out = bufio.NewWriterSize(f, 32<<10)
	if s.c.FileMode != 0o600 {
		if err := f.Chmod(s.c.FileMode); err != nil {
			return fmt.Errorf("mode of %q: %w", o.path, err)
		}
	}
	s.memory -= int64(len(o.memory))
	if _, err := o.out.Write(o.memory); err != nil {
		return fmt.Errorf("writing to %q failed: %w", o.path, err)
	}
	o.memory = nil
	return nil
}

func (s *fileStore) finish(o *openFile) (File, error) {
	if o == nil {
		return File{}, nil
	}
	f := File{Size: o.size, Path: o.path, Content: string(o.memory)}
	if o.f == nil {
		return f, nil
	}
	if err := errors.Join(o.out.Flush(), o.f.Close()); err != nil {
		return f, fmt.Errorf("writing to %q failed: %w", o.path, err)
	}
	return f, nil
}

// safeName keeps what cannot leave the directory.
func safeName(id string) string {
	b := []byte(id)
	for i, c := range b {
		if !isAlnum(c) && c != '-' && c != '_' && c != '@' {
			b[i] = '_'
		}
	}
	return string(b[:min(len(b), 64)])
}

// Keep has Close move the uploaded files to SecUploadDir instead of removing them (SecUploadKeepFiles); empty ones go all the same.
func (r *Result) Keep() { r.kept = true }

// Close removes the files that were made for uploads, or moves them where they stay.
func (r *Result) Close() error {
	var errs []error
	for i := range r.Files {
		f := &r.Files[i]
		if f.Path == "" {
			continue
		}
		if r.kept && f.Size > 0 {
			path, err := keepFile(f.Path, r.uploadDir)
			if err != nil {
				errs = append(errs, fmt.Errorf("keep upload %s: %w", f.Name, err))
			}
			f.Path = path
			continue
		}
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove upload %s: %w", f.Name, err))
		}
		f.Path = ""
	}
	return errors.Join(errs...)
}
