package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// The bounds of a receiver.
const (
	// signatureAge is the greatest age of a signature, as Tender has it.
	signatureAge          = 5 * time.Minute
	receiverHeaderTimeout = 5 * time.Second
	deliveriesMax         = 10_000
)

// Receiver takes the events of a server under test, as Tender's role webhook does. It may be used
// concurrently. Close it when it is no longer used.
type Receiver struct {
	secret   string
	now      func() time.Time
	listener net.Listener
	server   *http.Server
	served   chan error

	mu         sync.Mutex
	deliveries []delivery
	// refusals are the operations of which the next event is answered 503.
	refusals map[protocol.Key]bool
	// changed is closed, and made anew, at each delivery.
	changed chan struct{}
}

// delivery is one try of a server to tell of something.
type delivery struct {
	body []byte
	// event is empty if the body could not be read.
	event protocol.Event
	// unsigned is the fault of the signature; nil if it fits.
	unsigned error
	status   int
}

func (d delivery) key() protocol.Key {
	return protocol.Key{Tenant: d.event.Tenant, OperationID: d.event.OperationID}
}

// Receive listens at an address such as 127.0.0.1:8590 for events that are signed with the secret.
// It fails when the address cannot be listened at or the secret is empty.
func Receive(ctx context.Context, address, secret string) (*Receiver, error) {
	if secret == "" {
		return nil, errors.New("receive webhooks: there is no secret to check signatures with")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("receive webhooks: %w", err)
	}
	r := &Receiver{
		secret: secret, now: time.Now, listener: listener, served: make(chan error, 1),
		refusals: make(map[protocol.Key]bool), changed: make(chan struct{}),
	}
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: receiverHeaderTimeout}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// URL returns the address to which the server has to send its events. Any other path does as well.
func (r *Receiver) URL() string {
	return "http://" + r.listener.Addr().String() + "/webhooks/conformance"
}

// Close stops listening.
func (r *Receiver) Close() error {
	err := r.server.Close()
	if ended := <-r.served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("stop receiving webhooks: %w", err)
	}
	return nil
}

func (r *Receiver) serve(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, protocol.EventBytesMax))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	w.WriteHeader(r.take(request.Header.Values(protocol.HeaderSignature), body))
}

// take keeps a delivery and returns the status that answers it.
func (r *Receiver) take(signatures []string, body []byte) int {
	d := delivery{body: body, status: http.StatusOK}
	if len(signatures) == 1 {
		d.unsigned = protocol.Verify(signatures[0], body, []string{r.secret}, r.now(), signatureAge)
	} else {
		d.unsigned = fmt.Errorf("%w: there are %d", protocol.ErrSignatureMalformed, len(signatures))
	}
	event, err := protocol.DecodeEvent(body)
	if err == nil {
		d.event = event
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.refusals[d.key()]:
		delete(r.refusals, d.key())
		d.status = http.StatusServiceUnavailable
	case err != nil || d.unsigned != nil:
		d.status = http.StatusBadRequest
	}
	if len(r.deliveries) < deliveriesMax {
		r.deliveries = append(r.deliveries, d)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return d.status
}

// refuse has the next event about an operation answered as if it could not be stored now.
func (r *Receiver) refuse(key protocol.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals[key] = true
}

// seen returns all deliveries so far, and a channel that is closed at the next one.
func (r *Receiver) seen() ([]delivery, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deliveries), r.changed
}
