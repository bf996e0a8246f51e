package outbox

import (
	"context"

	"github.com/nats-io/nats.go"
)

// whileConnected returns a context for one publication, which ends after PublishTimeout, or as soon as the connection
// breaks: the acknowledgement of what was sent before will not come. Its cause is nats.ErrDisconnected then. The error
// is that of a connection that is broken or closed already; messages would only pile up in the client.
func (r *Relay) whileConnected(ctx context.Context) (context.Context, context.CancelFunc, error) {
	conn := r.js.Conn()
	broken := conn.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	switch {
	case conn.IsClosed():
		conn.RemoveStatusListener(broken)
		return nil, nil, nats.ErrConnectionClosed
	case !conn.IsConnected():
		conn.RemoveStatusListener(broken)
		return nil, nil, nats.ErrDisconnected
	}
	ctx, stop := context.WithTimeout(ctx, r.cfg.PublishTimeout)
	ctx, abort := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-broken:
			abort(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		abort(context.Canceled) // before the removal, which closes the channel
		stop()
		conn.RemoveStatusListener(broken)
	}, nil
}

// causeOf returns why a publication ended when ctx, from whileConnected, ended it, and otherwise err.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
