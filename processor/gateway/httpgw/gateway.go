package httpgw

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Config says where a gateway is and how it is reached.
type Config struct {
	// URL is the base address, http or https; the protocol's paths are added to its own. It carries
	// no user, query or fragment.
	URL string
	// APIKey is sent as a bearer token; "" sends none.
	APIKey string
	// ConnectionsMax bounds the connections, and so the calls under way; 0 is 256. Give it the
	// Guard's ConcurrencyMax.
	ConnectionsMax int
	// DialTimeout bounds the making of a connection; 0 is 2 s.
	DialTimeout time.Duration
	// IdleTimeout is the time for which an unused connection is kept; 0 is 30 s. It must be
	// shorter than the server's, or calls meet dead connections.
	IdleTimeout time.Duration
	// TLS is used for https; nil means the system's roots and TLS 1.2 or later.
	TLS *tls.Config
	// Proxy chooses a proxy; nil means none, also if the environment names one.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnReply hears of every reply as it came, for tests of servers. Nil hears nothing. It is
	// called concurrently.
	OnReply func(e protocol.Exchange, header http.Header, r protocol.Reply)
}

// Gateway speaks the protocol to one server. It may be used concurrently. Close it when it is no
// longer used.
type Gateway struct {
	base      *url.URL
	apiKey    string
	transport *http.Transport
	onReply   func(protocol.Exchange, http.Header, protocol.Reply)
}

var _ gateway.Gateway = (*Gateway)(nil)

// New returns a gateway. It connects to nothing yet, and fails only when the configuration makes no
// sense.
func New(c Config) (*Gateway, error) {
	base, err := wire.ParseAddress(c.URL)
	if err != nil {
		return nil, err
	}
	transport, err := wire.NewTransport(wire.Config{
		ConnectionsMax: c.ConnectionsMax, DialTimeout: c.DialTimeout, IdleTimeout: c.IdleTimeout,
		TLS: c.TLS, Proxy: c.Proxy, Dial: c.Dial,
	})
	if err != nil {
		return nil, err
	}
	return &Gateway{base: base, apiKey: c.APIKey, transport: transport, onReply: c.OnReply}, nil
}

// Close lets go of the idle connections. Calls under way go on.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Do implements gateway.Gateway.
func (g *Gateway) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	body, err := json.Marshal(op)
	if err != nil {
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf("encode operation: %v", err)}
	}
	return g.exchange(ctx, protocol.Exchange{OperationID: op.ID}, func(ctx context.Context) (*http.Request, error) {
		address := g.base.JoinPath(protocol.PathOperations).String()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("build request: %w", err)
		}
		request.Header.Set("Content-Type", "application/json")
		// net/http sends a request again by itself, on another connection, when a pooled one turns
		// out dead and the request has an Idempotency-Key header or its body can be had again. It
		// would be the same operation, but neither counted nor bounded. So the key is in the body
		// only, and the body can be read once.
		request.GetBody = nil
		return request, nil
	})
}

// Lookup implements gateway.Gateway. A lookup changes nothing, so that net/http may send it again.
func (g *Gateway) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	e := protocol.Exchange{OperationID: op.ID, Lookup: true}
	o := g.exchange(ctx, e, func(ctx context.Context) (*http.Request, error) {
		address := g.base.JoinPath(protocol.PathOperation, url.PathEscape(op.ID))
		address.RawQuery = url.Values{protocol.QueryTenant: {op.Tenant}}.Encode()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("build request: %w", err)
		}
		return request, nil
	})
	if o.Kind == messages.OutcomeNotSent {
		o.Kind = messages.OutcomeUnknown // The question was not sent, which says nothing of the operation.
	}
	return o
}

// exchange sends one request and judges its result.
func (g *Gateway) exchange(ctx context.Context, e protocol.Exchange, build func(context.Context) (*http.Request, error)) messages.Outcome {
	request, err := build(ctx)
	if err != nil {
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: err.Error()}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "tender")
	if g.apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+g.apiKey)
	}
	reply, err := wire.Send(g.transport, request, protocol.BodyBytesMax)
	if err != nil {
		return failed(err)
	}
	r := protocol.Reply{Status: reply.Status, Body: reply.Body, RetryAfter: wire.RetryAfter(reply.Header)}
	if g.onReply != nil {
		g.onReply(e, reply.Header, r)
	}
	return e.Outcome(r)
}

// failed judges an exchange that brought no reply. Only a request that never had a connection is
// proven not to have been sent.
func failed(err error) messages.Outcome {
	kind := messages.OutcomeUnknown
	var failure *wire.ExchangeError
	if errors.As(err, &failure) && !failure.Sent {
		kind = messages.OutcomeNotSent
	}
	return messages.Outcome{Kind: kind, Detail: protocol.Shown(err.Error())}
}
