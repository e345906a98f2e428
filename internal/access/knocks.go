package access

import (
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// knockInterval is how often at most it is logged that connections are refused.
const knockInterval = time.Second

// knocks logs connections that are refused: of many, one now and then. Any
// goroutine may use it.
type knocks struct {
	log *zap.Logger

	mu     sync.Mutex
	silent int       // refused since the last was logged
	logged time.Time // when that was
}

// note logs that one from the address was refused.
func (k *knocks) note(from net.Addr, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.silent++
	if time.Since(k.logged) < knockInterval {
		return
	}
	k.log.Warn("peer refused", zap.Stringer("address", from), zap.String("reason", reason), zap.Int("refused", k.silent))
	k.silent, k.logged = 0, time.Now()
}
