package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// ErrNoSuchScoutmaster says that nobody serves requests under the name that was
// asked. It comes at once.
var ErrNoSuchScoutmaster = errors.New("no scoutmaster of that name is connected")

// Handler answers one request. Its error reaches the asker as text.
type Handler func(ctx context.Context, request []byte) (answer []byte, err error)

// errorHeader carries the text of a Handler's error.
const errorHeader = "Scout-Error"

// Serve answers requests to the scoutmaster of this name until ctx is done. It
// returns when all its handlers have.
func (c *Conn) Serve(ctx context.Context, name string, handle Handler) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sub, err := c.nats.Subscribe(c.subject("to."+name), func(msg *nats.Msg) {
		if ctx.Err() != nil {
			return
		}
		handlers.Go(func() { c.answer(ctx, msg, handle) })
	})
	if err != nil {
		return fmt.Errorf("serve requests of other scoutmasters: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	<-ctx.Done()
	return nil
}

func (c *Conn) answer(ctx context.Context, msg *nats.Msg, handle Handler) {
	data, err := handle(ctx, msg.Data)
	answer := nats.NewMsg(msg.Reply)
	answer.Data = data
	if err != nil {
		answer.Header.Set(errorHeader, err.Error())
	}
	if err := msg.RespondMsg(answer); err != nil {
		c.options.Log.Debug("answer not sent", zap.Error(err))
	}
}

// Request asks the scoutmaster of a name, and waits until it answers or ctx is
// done.
func (c *Conn) Request(ctx context.Context, name string, request []byte) ([]byte, error) {
	msg, err := c.nats.RequestWithContext(ctx, c.subject("to."+name), request)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNoSuchScoutmaster
	case err != nil:
		return nil, err
	}
	if text := msg.Header.Get(errorHeader); text != "" {
		return nil, errors.New(text)
	}
	return msg.Data, nil
}
