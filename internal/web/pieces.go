package web

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// writeTimeout is for how long a client may take nothing of what is written to
// it before it is taken to have left.
const writeTimeout = 5 * time.Minute

// pieces writes a long answer, each piece within writeTimeout.
type pieces struct {
	w        http.ResponseWriter
	deadline func(time.Time) error
}

func (p *pieces) Write(piece []byte) (int, error) {
	err := p.deadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("set a write deadline: %w", err)
	}
	n, err := p.w.Write(piece)
	runtime.Gosched() // who reads long lists must not keep the scouts waiting
	return n, err
}
