package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// The bounds of a connection. A whole exchange fits into what providers wait, 10 s and more.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 20 * time.Second
	idleTimeout       = time.Minute
	headerBytesMax    = 16 << 10
)

// Serve answers on the listener until ctx is done, then takes no more connections, finishes what was begun for at most grace, and
// returns. It returns nil after such an end.
func Serve(ctx context.Context, listener net.Listener, h *Handler, grace time.Duration) error {
	complaints, err := zap.NewStdLogAt(h.log, zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("serve webhooks: %w", err)
	}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
		ErrorLog: complaints,
		// What was begun is finished, whatever ctx says.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve webhooks: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err = server.Shutdown(ending); err != nil {
		// Nothing is lost: what has no answer is sent again.
		h.log.Warn("webhooks were cut short", zap.Error(err))
		err = server.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve webhooks: %w", ended))
	}
	return err
}
