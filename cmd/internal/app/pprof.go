package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
)

// pprofHeaderTimeout bounds the time in which a client sends its request.
const pprofHeaderTimeout = 10 * time.Second

// CheckPprof refuses an address that other machines could reach: a profile and the command line
// show too much.
func CheckPprof(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return term.UsageError("--pprof %s: must be host:port, such as 127.0.0.1:6060", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return term.UsageError("--pprof %s: must be an address of this machine alone, such as 127.0.0.1:6060; reach it through a tunnel", address)
	}
	return nil
}

// ServePprof serves profiles at an address until stop is called. It listens when it returns.
func ServePprof(ctx context.Context, address string, log *zap.Logger) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: pprofHeaderTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("stopped serving pprof", zap.Error(err))
		}
	}()
	log.Info("serving pprof", zap.Stringer("address", listener.Addr()))
	return func() {
		_ = server.Close() // cuts short a profile that is being taken
		<-ended
	}, nil
}
