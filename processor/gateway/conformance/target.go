package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/natsgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Target is a server under test and the way to it. One with a Gateway only is in process: the
// rules about the wire are left out. Close it when it is no longer used.
type Target struct {
	// Gateway reaches the server as Tender does.
	Gateway gateway.Gateway

	wire      wire
	http      *httpWire
	nats      *natsWire
	described *described
	close     func()
}

// contentType is that of every body of the protocol. Over NATS it goes without saying.
const contentType = "application/json"

// wire reaches a server below Gateway: it sends bodies as they are.
type wire interface {
	// post sends a body to where operations of a kind are made. It fails without a reply.
	post(ctx context.Context, kind messages.OperationKind, body []byte) (protocol.Reply, error)
	// lookup asks for an operation that need not exist.
	lookup(ctx context.Context, key protocol.Key) (protocol.Reply, error)
}

// OverHTTP returns the server at a base address. The API key is sent as a bearer token, "" sends
// none.
func OverHTTP(address, apiKey string) (*Target, error) {
	described, err := newDescribed()
	if err != nil {
		return nil, err
	}
	g, err := httpgw.New(httpgw.Config{URL: address, APIKey: apiKey, OnReply: func(e protocol.Exchange, header http.Header, r protocol.Reply) {
		described.hear(e.Lookup, header.Get("Content-Type"), r)
	}})
	if err != nil {
		return nil, fmt.Errorf("reach the server over HTTP: %w", err)
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reach the server over HTTP: %w", err)
	}
	w := &httpWire{base: base, apiKey: apiKey, transport: &http.Transport{}, described: described}
	return &Target{Gateway: g, wire: w, http: w, described: described, close: func() {
		g.Close()
		w.transport.CloseIdleConnections()
	}}, nil
}

// OverNATS returns the connector of the gateway with that name. Closing the target leaves the
// connection open.
func OverNATS(nc *nats.Conn, name string) (*Target, error) {
	described, err := newDescribed()
	if err != nil {
		return nil, err
	}
	g, err := natsgw.New(nc, name)
	if err != nil {
		return nil, fmt.Errorf("reach the connector over NATS: %w", err)
	}
	w := &natsWire{nc: nc, name: name, described: described}
	observed := g.Observed(func(e protocol.Exchange, r protocol.Reply) { described.hear(e.Lookup, contentType, r) })
	return &Target{Gateway: observed, wire: w, nats: w, described: described}, nil
}

// Close lets go of the connections that the target made.
func (t *Target) Close() {
	if t.close != nil {
		t.close()
	}
}

// reach fails unless the server answers.
func (t *Target) reach(ctx context.Context, tenant string, timeout time.Duration) error {
	if t.wire == nil {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := t.wire.lookup(within, protocol.Key{Tenant: tenant, OperationID: uuid.NewString() + "-1"})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("reach the server: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case r.Status == http.StatusUnauthorized:
		return ErrUnauthorized
	default:
		return nil
	}
}

// httpWire exchanges bodies over HTTP without reading them.
type httpWire struct {
	base      *url.URL
	apiKey    string
	transport *http.Transport
	described *described
}

func (w *httpWire) withKey(apiKey string) *httpWire {
	return &httpWire{base: w.base, apiKey: apiKey, transport: w.transport, described: w.described}
}

func (w *httpWire) post(ctx context.Context, _ messages.OperationKind, body []byte) (protocol.Reply, error) {
	return w.postAs(ctx, contentType, body)
}

// postAs makes an operation whose body claims to be of a type.
func (w *httpWire) postAs(ctx context.Context, claimed string, body []byte) (protocol.Reply, error) {
	r, header, err := w.send(ctx, http.MethodPost, w.base.JoinPath(protocol.PathOperations), claimed, body)
	if err == nil {
		w.described.hear(false, header.Get("Content-Type"), r)
	}
	return r, err
}

func (w *httpWire) lookup(ctx context.Context, key protocol.Key) (protocol.Reply, error) {
	address := w.base.JoinPath(protocol.PathOperation, url.PathEscape(key.OperationID))
	if key.Tenant != "" {
		address.RawQuery = url.Values{protocol.QueryTenant: {key.Tenant}}.Encode()
	}
	r, header, err := w.send(ctx, http.MethodGet, address, "", nil)
	if err == nil {
		w.described.hear(true, header.Get("Content-Type"), r)
	}
	return r, err
}

// get reads a page that is not about an operation.
func (w *httpWire) get(ctx context.Context, path string) (protocol.Reply, error) {
	r, _, err := w.send(ctx, http.MethodGet, w.base.JoinPath(path), "", nil)
	return r, err
}

func (w *httpWire) send(
	ctx context.Context, method string, address *url.URL, claimed string, body []byte,
) (protocol.Reply, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return protocol.Reply{}, nil, fmt.Errorf("build request: %w", err)
	}
	if claimed != "" {
		request.Header.Set("Content-Type", claimed)
	}
	if w.apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+w.apiKey)
	}
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		return protocol.Reply{}, nil, fmt.Errorf("%s %s: %w", method, address.Path, err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(response.Body, protocol.BodyBytesMax))
	if err != nil {
		return protocol.Reply{}, nil, fmt.Errorf("%s %s: read the answer: %w", method, address.Path, err)
	}
	return protocol.Reply{
		Status: response.StatusCode, Body: read,
		RetryAfter: protocol.ParseRetryAfter(response.Header.Get(protocol.HeaderRetryAfter)),
	}, response.Header, nil
}

// natsWire exchanges bodies over NATS without reading them.
type natsWire struct {
	nc        *nats.Conn
	name      string
	described *described
}

func (w *natsWire) post(ctx context.Context, kind messages.OperationKind, body []byte) (protocol.Reply, error) {
	return w.request(ctx, string(kind), body, nil)
}

func (w *natsWire) lookup(ctx context.Context, key protocol.Key) (protocol.Reply, error) {
	op := NewPayment().Void()
	op.ID, op.Tenant = key.OperationID, key.Tenant
	return w.request(ctx, protocol.EndpointLookup, encode(op), nil)
}

func (w *natsWire) request(ctx context.Context, endpoint string, body []byte, headers map[string]string) (protocol.Reply, error) {
	request := nats.NewMsg(protocol.Subject(w.name, endpoint))
	request.Data = body
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	reply, err := w.nc.RequestMsgWithContext(ctx, request)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return protocol.Reply{}, fmt.Errorf("no connector answers on %s: %w", request.Subject, err)
	case err != nil:
		return protocol.Reply{}, fmt.Errorf("ask on %s: %w", request.Subject, err)
	}
	r := protocol.ReadReply(reply.Data)
	w.described.hear(endpoint == protocol.EndpointLookup, contentType, r)
	return r, nil
}
