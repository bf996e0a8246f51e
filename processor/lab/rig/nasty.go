package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// nasty stands between the processes and a gateway. Every answer that it gives is one that the
// protocol allows, and few are welcome: pending though it is done soon, late, too late, "in
// progress", "too many requests", and voids that are refused. What it answers is true: the
// operation is done, or not done, at the gateway behind it.
type nasty struct {
	target   string
	intn     func(int) int
	listener net.Listener
	server   *http.Server
	client   *http.Client

	mu sync.Mutex
	// seen are the operations that came by; refused are the voids that are refused for good.
	seen, refused map[protocol.Key]struct{}
	answers       map[string]int
}

// startNasty starts it in front of a gateway. It serves until it is closed.
func startNasty(ctx context.Context, target string, intn func(int) int) (*nasty, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nasty{
		target: "http://" + target, intn: intn, listener: listener, client: &http.Client{Transport: &http.Transport{}},
		seen: map[protocol.Key]struct{}{}, refused: map[protocol.Key]struct{}{}, answers: map[string]int{},
	}
	n.server = &http.Server{Handler: n, ReadHeaderTimeout: CallTimeout}
	go func() { _ = n.server.Serve(listener) }() // it ends when it is closed
	return n, nil
}

func (n *nasty) addr() string { return n.listener.Addr().String() }

func (n *nasty) close() error {
	err := n.server.Close()
	n.client.CloseIdleConnections()
	return err
}

// forwarded is the true answer of the gateway.
type forwarded struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP implements http.Handler.
func (n *nasty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	op, err := protocol.DecodeOperation(body)
	if r.Method != http.MethodPost || err != nil {
		n.answer(w, r, body, n.intn(4) == 0)
		return
	}
	key := protocol.KeyOf(op)
	n.mu.Lock()
	_, seen := n.seen[key]
	_, refused := n.refused[key]
	n.seen[key] = struct{}{}
	first := !seen && op.Attempt == 1
	choice := n.intn(8)
	if refuse := first && op.Kind == messages.OperationVoid && choice < 3; refuse || refused {
		n.refused[key] = struct{}{}
		n.mu.Unlock()
		n.count("void refused")
		write(w, http.StatusPaymentRequired, protocol.Answer{OperationID: op.ID, Outcome: messages.OutcomeDeclined, DeclineCode: "processing_error"})
		return
	}
	n.mu.Unlock()
	switch {
	case choice == 0 && first: // it is being worked on, and done soon
		n.later(r, body)
		n.count("in progress")
		n.problem(w, protocol.Problem{Code: protocol.CodeInProgress}, "1")
	case choice == 1:
		n.count("too many requests")
		n.problem(w, protocol.Problem{Code: protocol.CodeRateLimited, Rest: messages.RestOperation}, "1")
	case choice == 2 && first:
		n.later(r, body)
		n.count("pending")
		write(w, http.StatusAccepted, protocol.Answer{OperationID: op.ID, Outcome: messages.OutcomePending})
	default:
		n.answer(w, r, body, choice > 4)
	}
}

// answer forwards a request and its answer, perhaps late or too late.
func (n *nasty) answer(w http.ResponseWriter, r *http.Request, body []byte, late bool) {
	f, err := n.forward(context.WithoutCancel(r.Context()), r, body)
	if err != nil {
		panic(http.ErrAbortHandler) // the gateway behind it does not answer either
	}
	if late {
		wait := []time.Duration{CallTimeout / 2, CallTimeout + CallTimeout/2}[n.intn(2)]
		n.count("late")
		if !retry.Sleep(r.Context(), wait) {
			panic(http.ErrAbortHandler)
		}
	}
	for name, values := range f.header {
		w.Header()[name] = values
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body) // the caller may have gone
}

// later forwards a request without its answer.
func (n *nasty) later(r *http.Request, body []byte) {
	ctx := context.WithoutCancel(r.Context())
	go func() {
		retry.Sleep(ctx, 200*time.Millisecond)
		_, _ = n.forward(ctx, r, body) // if it fails, nothing was done, which a lookup tells
	}()
}

func (n *nasty) forward(ctx context.Context, r *http.Request, body []byte) (forwarded, error) {
	//nolint:gosec // G704: the path of a request by a process of the rig, to a fixed host
	request, err := http.NewRequestWithContext(ctx, r.Method, n.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return forwarded{}, err
	}
	request.Header = r.Header.Clone()
	response, err := n.client.Do(request) //nolint:gosec // G704: as above
	if err != nil {
		return forwarded{}, err
	}
	f := forwarded{status: response.StatusCode, header: response.Header}
	f.body, err = io.ReadAll(response.Body)
	return f, errors.Join(err, response.Body.Close())
}

func (n *nasty) problem(w http.ResponseWriter, p protocol.Problem, retryAfter string) {
	status, ok := p.Code.Status()
	if !ok {
		panic("rig: no status for " + string(p.Code))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(protocol.HeaderRetryAfter, retryAfter)
	w.WriteHeader(status)
	_, _ = w.Write(protocol.EncodeProblem(p)) // the caller may have gone
}

func write(w http.ResponseWriter, status int, a protocol.Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // the caller may have gone
}

func (n *nasty) count(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers[what]++
}

// counts returns what was answered, by kind.
func (n *nasty) counts() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	counts := map[string]int{}
	for what, times := range n.answers {
		counts[what] = times
	}
	return counts
}
