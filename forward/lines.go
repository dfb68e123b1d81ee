package forward

import (
	"bufio"
	"errors"
	"io"
	"sync"
)

// lineQueue takes lines off a pipe as fast as they come. Whoever writes into the pipe is a web
// server in the middle of a request: it must never wait for us.
type lineQueue struct {
	max     int
	arrived chan struct{} // a token when there may be something new

	mu      sync.Mutex
	lines   []string // mu
	bytes   int      // mu
	dropped bool     // mu; lines were left out because of max
	ended   bool     // mu; the input has ended
}

func newLineQueue(limit int) *lineQueue {
	return &lineQueue{max: limit, arrived: make(chan struct{}, 1)}
}

// maxLine is far above what ModSecurity writes (version 3: 8.4 KB); of a longer line the rest is left out.
const maxLine = 64 << 10

// read runs until the end of in, or an error of it, which is the same here: nothing will come any more.
func (q *lineQueue) read(in io.Reader) {
	r := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			start := string(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			q.add(start)
		} else if len(line) > 0 {
			q.add(string(line))
		}
		if err != nil {
			q.mu.Lock()
			q.ended = true
			q.mu.Unlock()
			q.signal()
			return
		}
	}
}

func (q *lineQueue) add(line string) {
	q.mu.Lock()
	if q.bytes+len(line) > q.max {
		q.dropped = true
	} else {
		q.lines = append(q.lines, line)
		q.bytes += len(line)
	}
	q.mu.Unlock()
	q.signal()
}

func (q *lineQueue) signal() {
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

// take returns up to n lines, in order, without waiting; more is false when there are none and none will come.
func (q *lineQueue) take(n int) (lines []string, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.lines))
	lines = q.lines[:n:n]
	for _, l := range lines {
		q.bytes -= len(l)
	}
	if q.lines = q.lines[n:]; len(q.lines) == 0 {
		q.lines = nil
	}
	return lines, len(q.lines) > 0 || !q.ended
}

// empty says that every line has been taken.
func (q *lineQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines) == 0
}

// takeDropped says whether lines were left out since the last call.
func (q *lineQueue) takeDropped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.dropped
	q.dropped = false
	return d
}
