package gate

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// requestBody keeps a request's body: the first bytes in memory, what is above the limit in a file.
type requestBody struct {
	memory []byte
	limit  int
	file   *os.File // nil while all is in memory
	inFile int64    // bytes of it
	size   int64    // bytes that the client sent, as far as they were read
	source io.ReadCloser

	mu   sync.Mutex // guards memory, size and keep while a transport streams
	keep bool       // when streaming: remember the beginning
}

func (b *requestBody) write(p []byte, dir string) error {
	room := min(max(b.limit-len(b.memory), 0), len(p))
	b.memory = append(b.memory, p[:room]...)
	b.size += int64(len(p))
	if room == len(p) {
		return nil
	}
	if b.file == nil {
		f, err := os.CreateTemp(dir, "trapline-body-*")
		if err != nil {
			return err
		}
		b.file = f
		// Gone by name at once: a crash leaves nothing behind. Where open files keep their names (Windows) close removes it.
		_ = os.Remove(f.Name())
	}
	n, err := b.file.Write(p[room:])
	b.inFile += int64(n)
	return err
}

// reader reads the body from its beginning.
func (b *requestBody) reader() (io.Reader, error) {
	if b.file == nil {
		return bytes.NewReader(b.memory), nil
	}
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(b.memory), io.LimitReader(b.file, b.inFile)), nil
}

func (b *requestBody) close() {
	if b.file != nil {
		_ = b.file.Close()
		_ = os.Remove(b.file.Name())
		b.file = nil
	}
}

// Read streams the body to the upstream, counting and perhaps remembering its beginning.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += int64(n)
	if room := b.limit - len(b.memory); b.keep && room > 0 {
		b.memory = append(b.memory, p[:min(n, room)]...)
	}
	return n, err
}

// Close closes the client's side.
func (b *requestBody) Close() error { return b.source.Close() }

// take returns what was kept. A transport may still be reading: what it gets from now on is not kept.
func (b *requestBody) take() (memory []byte, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	memory, b.memory, b.keep = b.memory, nil, false
	return memory, b.size
}

// patient gives the client Timeout for each read of its body, not for the whole.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	failed  atomic.Pointer[error] // why the client's body did not come whole
	place   *connlimit.Conn       // of the connection, nil for HTTP/2: its frames say when a body ends
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(p.timeout))
	n, err := p.ReadCloser.Read(b)
	if err != nil {
		if p.place != nil {
			p.place.Received()
		}
		// net/http goes on reading, to notice when the client leaves: an old deadline would look like that.
		_ = p.control.SetReadDeadline(time.Time{})
		if !errors.Is(err, io.EOF) {
			p.failed.CompareAndSwap(nil, &err)
		}
	}
	return n, err
}

// status is what Apache answers for the failure; 0 when there was none.
func (p *patient) status() int {
	if p == nil || p.failed.Load() == nil {
		return 0
	}
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch err := *p.failed.Load(); {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// readBody runs phase 2, before it the body when a rule wants to read it. It is false when the request has been answered.
func (x *exchange) readBody() (ok bool) {
	r := x.r
	if most := x.merged.bodyLimit; most > 0 {
		if r.ContentLength > most {
			x.tell(levelInfo, nil, "AH01588: Requested content-length of ", strconv.FormatInt(r.ContentLength, 10),
				" is larger than the configured limit of ", strconv.FormatInt(most, 10))
			x.fail(http.StatusRequestEntityTooLarge)
			return false
		}
		r.Body = http.MaxBytesReader(x.w, r.Body, most)
	}
	hasBody := r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
	if hasBody {
		x.patient = &patient{ReadCloser: r.Body, control: http.NewResponseController(x.w), timeout: x.site.ioTimeout}
		if x.conn.rec != nil {
			x.patient.place = &x.conn.place
		}
		r.Body = x.patient
	}
	if x.tx == nil {
		return true
	}
	wanted := hasBody && x.site.readsBody
	if wanted && !x.bufferBody() {
		return false
	}
	if hasBody && !wanted {
		x.body = &requestBody{source: r.Body, keep: x.site.keepRequest && x.site.settings.RequestBodyAccess, limit: x.memoryLimit()}
		r.Body = x.body
	}
	if it := x.tx.RequestBody(); it != nil {
		x.interrupt(it)
		return false
	}
	if wanted {
		return x.replaceBody()
	}
	return true
}

func (x *exchange) memoryLimit() int {
	if n := x.site.settings.RequestBodyInMemoryLimit; n > 0 && n < 16<<20 {
		return int(n)
	}
	return 128 << 10
}

// bufferBody reads the body up to the rules' limit. What is above it with ProcessPartial stays in r.Body.
func (x *exchange) bufferBody() bool {
	block := x.gate.blocks.Get()
	defer x.gate.blocks.Put(block)
	x.body = &requestBody{limit: x.memoryLimit()}
	rest := x.r.Body
	for {
		n, err := rest.Read(block)
		kept, it := n, (*seclang.Interruption)(nil)
		if n > 0 {
			kept, it = x.tx.WriteRequestBody(block[:n])
		}
		if it != nil {
			x.interrupt(it)
			return false
		}
		if werr := x.body.write(block[:n], x.tempDir()); werr != nil {
			x.gate.log.Error("request body cannot be kept", "host", x.site.Host.Name, "error", werr)
			x.fail(http.StatusInternalServerError)
			return false
		}
		switch {
		case errors.Is(err, io.EOF):
			x.r.Body = http.NoBody
			return true
		case err != nil:
			x.bodyFailed()
			return false
		case kept < n:
			return true // the rest streams
		}
	}
}

// bodyFailed answers a body that did not come whole: over LimitRequestBody, badly framed, too slow or cut off.
func (x *exchange) bodyFailed() {
	status := x.patient.status()
	if status == http.StatusBadRequest && x.r.ContentLength < 0 {
		x.tell(levelInfo, syscall.EINVAL, "AH01590: Error reading/parsing chunk  ")
	}
	if status != http.StatusRequestEntityTooLarge {
		// Let the rules see what came: this is how smuggling and slow bodies look.
		if it := x.tx.RequestBody(); it != nil {
			x.interrupt(it)
			return
		}
	}
	x.fail(status)
}

// replaceBody makes the kept body, or what rules made of it, the one that the upstream gets.
func (x *exchange) replaceBody() bool {
	r := x.r
	if body, changed := x.tx.RequestBodyToSend(); changed {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.TransferEncoding = nil
		return true
	}
	kept, err := x.body.reader()
	if err != nil {
		x.gate.log.Error("request body cannot be read back", "host", x.site.Host.Name, "error", err)
		x.fail(http.StatusInternalServerError)
		return false
	}
	if r.Body == http.NoBody {
		if r.ContentLength < 0 && len(r.Trailer) == 0 {
			r.ContentLength, r.TransferEncoding = x.body.size, nil
		}
		r.Body = io.NopCloser(kept)
		return true
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(kept, r.Body), r.Body}
	return true
}

func (x *exchange) tempDir() string {
	if d := x.site.settings.TmpDir; d != "" && filepath.IsAbs(d) {
		return d
	}
	return x.gate.cfg.TempDir
}

// blockPool lends blocks for copying.
type blockPool struct{ pool sync.Pool }

const blockSize = 32 << 10

func newBlockPool() *blockPool { return &blockPool{} }

// Get returns a block.
func (p *blockPool) Get() []byte {
	if b, ok := p.pool.Get().(*[blockSize]byte); ok {
		return b[:]
	}
	return make([]byte, blockSize)
}

// Put takes a block back.
func (p *blockPool) Put(b []byte) {
	if cap(b) >= blockSize {
		p.pool.Put((*[blockSize]byte)(b[:blockSize]))
	}
}
