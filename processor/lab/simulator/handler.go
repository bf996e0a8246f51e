package simulator

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// The paths beside the protocol's own.
const (
	// PathLedger serves the sim.Snapshot as JSON.
	PathLedger = "/v1/ledger"
	// PathDisputes is followed by a dispute's id and its new status, for a POST; see MoveDispute.
	PathDisputes = "/v1/disputes/"
)

// The bounds of the server.
const (
	headerTimeout   = 5 * time.Second
	idleTimeout     = 2 * time.Minute // longer than httpgw keeps a connection, so that the client closes it
	shutdownTimeout = 5 * time.Second
)

// Handler serves the open gateway protocol, and the ledger beside it. With an API key it asks for
// it as a bearer token on everything but /healthz and the page of the simulated challenge.
func (s *Simulator) Handler(apiKey string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+protocol.PathOperations, authorizedBy(apiKey, s.serveOperation))
	mux.Handle("GET "+protocol.PathOperation+"{operation_id}", authorizedBy(apiKey, s.serveLookup))
	mux.Handle("GET "+PathLedger, authorizedBy(apiKey, s.serveLedger))
	mux.Handle("POST "+PathDisputes+"{dispute_id}/{status}", authorizedBy(apiKey, s.serveDispute))
	mux.HandleFunc("GET "+protocol.PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, "ok\n")
	})
	mux.HandleFunc("GET "+sim.PathChallenge+"{reference}", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, "This is where a customer would prove who they are. Confirm the payment to go on.\n")
	})
	return mux
}

// Serve answers on the listener until ctx is done, then releases the answers that are held back
// and stops within a few seconds. It does not close the simulator.
func (s *Simulator) Serve(ctx context.Context, listener net.Listener, apiKey string) error {
	server := &http.Server{
		Handler: s.Handler(apiKey), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		// With the context every request that is held back ends too.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve simulator: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop simulator: %w", err), server.Close())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve simulator: %w", ended))
	}
	return err
}

func authorizedBy(apiKey string, next http.HandlerFunc) http.Handler {
	if apiKey == "" {
		return next
	}
	want := sha256.Sum256([]byte("Bearer " + apiKey))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			write(w, refusal(protocol.CodeUnauthorized, "the API key is missing or wrong"))
			return
		}
		next(w, r)
	})
}

func refusal(code protocol.Code, format string, args ...any) sim.Reply {
	return sim.Reply{Problem: &protocol.Problem{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func (s *Simulator) serveOperation(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		write(w, refusal(protocol.CodeInvalidRequest, "the Content-Type must be application/json"))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.BodyBytesMax))
	if err != nil {
		write(w, refusal(protocol.CodeInvalidRequest, "the body cannot be read, or is longer than %d bytes", protocol.BodyBytesMax))
		return
	}
	op, err := protocol.DecodeOperation(body)
	if err != nil {
		write(w, refusal(protocol.CodeInvalidRequest, "%v", err))
		return
	}
	answer, alive := s.Exchange(r.Context(), op)
	if !alive {
		panic(http.ErrAbortHandler) // The client is gone; this closes its connection without an answer.
	}
	write(w, answer)
}

func (s *Simulator) serveLookup(w http.ResponseWriter, r *http.Request) {
	write(w, s.Find(protocol.Key{Tenant: r.URL.Query().Get(protocol.QueryTenant), OperationID: r.PathValue("operation_id")}))
}

func (s *Simulator) serveLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// An error here means that the client's connection broke, and that no answer can reach it.
	_ = json.NewEncoder(w).Encode(s.Snapshot())
}

func (s *Simulator) serveDispute(w http.ResponseWriter, r *http.Request) {
	if err := s.MoveDispute(r.PathValue("dispute_id"), r.PathValue("status")); err != nil {
		write(w, refusal(protocol.CodeInvalidRequest, "%v", err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // As in serveLedger.
}

// write sends a reply, or half of it.
func write(w http.ResponseWriter, r sim.Reply) {
	status, body := wire(r)
	if r.Cut {
		reset(w, status, body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.RetryAfter/time.Second)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // As in serveLedger.
}

// wire returns the status and the body of a reply.
func wire(r sim.Reply) (status int, body []byte) {
	if r.Problem != nil {
		status, ok := r.Problem.Code.Status()
		if !ok {
			panic(fmt.Sprintf("no status for code %s", r.Problem.Code))
		}
		return status, protocol.EncodeProblem(*r.Problem)
	}
	status, ok := protocol.Status(r.Answer.Outcome)
	if !ok {
		panic(fmt.Sprintf("no status for outcome %s", r.Answer.Outcome))
	}
	body, err := json.Marshal(r.Answer)
	if err != nil {
		panic(fmt.Sprintf("encode answer: %v", err))
	}
	return status, body
}

// reset sends the head and half of the body, then breaks the connection in the way of a server that
// crashed.
func reset(w http.ResponseWriter, status int, body []byte) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // The nearest to it that this connection can do.
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(buffered, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body[:len(body)/2])
	_ = buffered.Flush()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // Close sends a reset rather than a proper end.
	}
}
