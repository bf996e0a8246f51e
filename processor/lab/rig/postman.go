package rig

import (
	"bytes"
	"context"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// postman carries the notifications of the gateways to the webhook endpoint. It forgets some of
// those that a lookup would tell as well, and brings some twice. Which, follows from their ids. A
// reversal or a dispute is always brought, since no lookup tells it: what the endpoint does not
// take at once, the postman takes over from its gateway, which may be killed, and brings later.
type postman struct {
	target   func() string
	listener net.Listener
	server   *http.Server
	client   *http.Client
	// stop ends the deliveries that were taken over; later counts them.
	stop  context.CancelFunc
	done  context.Context //nolint:containedctx // of the deliveries that were taken over
	later sync.WaitGroup
}

// One notification in so many is forgotten, and one brought twice.
const (
	forgottenOf = 4
	twiceOf     = 3
)

func startPostman(ctx context.Context, target func() string) (*postman, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &postman{target: target, listener: listener, client: &http.Client{Transport: &http.Transport{}, Timeout: webhookTimeout}}
	p.done, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: CallTimeout}
	go func() { _ = p.server.Serve(listener) }() // it ends when it is closed
	return p, nil
}

// webhookTimeout bounds one delivery of a notification.
const webhookTimeout = 5 * CallTimeout

func (p *postman) addr() string { return p.listener.Addr().String() }

// close ends it. A nil postman is none.
func (p *postman) close() error {
	if p == nil {
		return nil
	}
	err := p.server.Close()
	p.stop()
	p.later.Wait()
	p.client.CloseIdleConnections()
	return err
}

// ServeHTTP implements http.Handler.
func (p *postman) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	event, err := protocol.DecodeEvent(body)
	if err == nil && forgotten(event) {
		w.WriteHeader(http.StatusOK)
		return
	}
	status := p.deliver(r.Context(), r, body)
	if err == nil && status == http.StatusOK && fate(event.ID)%twiceOf == 0 {
		_ = p.deliver(r.Context(), r, body) // once is enough
	}
	if err == nil && status != http.StatusOK && p.done.Err() == nil {
		p.later.Go(func() {
			for p.deliver(p.done, r, body) != http.StatusOK && retry.Sleep(p.done, persistPause) {
			}
		})
		status = http.StatusOK
	}
	w.WriteHeader(status)
}

// forgotten reports whether a notification gets lost though the gateway takes it for delivered.
func forgotten(e protocol.Event) bool {
	switch e.Type {
	case protocol.EventSucceeded, protocol.EventDeclined, protocol.EventPending:
		return fate(e.ID)%forgottenOf == 1
	default:
		return false
	}
}

func fate(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // a hash.Hash never returns an error
	return h.Sum32() >> 8
}

// deliver brings a notification once and returns the status of its answer.
func (p *postman) deliver(ctx context.Context, r *http.Request, body []byte) int {
	//nolint:gosec // G704: the path of a request by a gateway of the rig, to a fixed host
	request, err := http.NewRequestWithContext(ctx, r.Method, "http://"+p.target()+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return http.StatusInternalServerError
	}
	request.Header = r.Header.Clone()
	response, err := p.client.Do(request) //nolint:gosec // G704: as above
	if err != nil {
		return http.StatusBadGateway
	}
	_, _ = io.Copy(io.Discard, response.Body) // only the status counts
	_ = response.Body.Close()
	return response.StatusCode
}
