package httpgw

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Config says where a gateway is and how it is reached.
type Config struct {
	// URL is the base address, http or https; the protocol's paths are added to its own. It carries no user, query or fragment.
	URL string
	// APIKey is sent as a bearer token; "" sends none.
	APIKey string
	// ConnectionsMax bounds the connections, and so the calls under way; 0 is 256. Give it the Guard's ConcurrencyMax.
	ConnectionsMax int
	// DialTimeout bounds the making of a connection; 0 is 2 s.
	DialTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept; 0 is 30 s. Shorter than the server keeps it, or calls meet dead ones.
	IdleTimeout time.Duration
	// TLS is used for https; nil means the system's roots and TLS 1.2 or later.
	TLS *tls.Config
	// Proxy chooses a proxy; nil means none, whatever the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Gateway speaks the protocol to one server. It may be used concurrently. Close it when it is no longer used.
type Gateway struct {
	base      *url.URL
	apiKey    string
	transport *http.Transport
}

var _ gateway.Gateway = (*Gateway)(nil)

// New returns a gateway. It connects to nothing yet, and fails only when the configuration makes no sense.
func New(c Config) (*Gateway, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // The address itself may hold a secret.
		}
		return nil, fmt.Errorf("read gateway address: %w", err)
	}
	switch {
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, errors.New("read gateway address: it must begin with http:// or https:// and name a host")
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("read gateway address: it must hold no user, query or fragment")
	case c.ConnectionsMax < 0, c.DialTimeout < 0, c.IdleTimeout < 0:
		return nil, errors.New("configure gateway connections: a bound is negative")
	}
	return &Gateway{base: base, apiKey: c.APIKey, transport: newTransport(c)}, nil
}

// newTransport builds a transport with nothing of the environment in it.
func newTransport(c Config) *http.Transport {
	connections := positiveOr(c.ConnectionsMax, 256)
	dialTimeout := positiveOr(c.DialTimeout, 2*time.Second)
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	tlsConfig := c.TLS.Clone()
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// HTTP/1.1 only: one request at a time on a connection, so that a fault costs one operation and net/http has no
	// stream of another connection to move a request to.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  c.Proxy,
		DialContext:            dial,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           connections,
		MaxIdleConnsPerHost:    connections,
		MaxConnsPerHost:        connections,
		IdleConnTimeout:        positiveOr(c.IdleTimeout, 30*time.Second),
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
		Protocols:              protocols,
	}
}

func positiveOr[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
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
		// net/http sends a request again by itself, on another connection, when a pooled one turns out dead and the request
		// has an Idempotency-Key header or its body can be had again. It would be the same operation, but neither counted
		// nor bounded. So the key is in the body only, and the body can be read once.
		request.GetBody = nil
		return request, nil
	})
}

// Lookup implements gateway.Gateway. A lookup changes nothing, so that net/http may send it again.
func (g *Gateway) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	e := protocol.Exchange{OperationID: op.ID, Lookup: true}
	o := g.exchange(ctx, e, func(ctx context.Context) (*http.Request, error) {
		address := g.base.JoinPath(protocol.PathOperation, url.PathEscape(op.ID)).String()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("build request: %w", err)
		}
		return request, nil
	})
	if o.Kind == messages.OutcomeNotSent {
		o.Kind = messages.OutcomeUnknown // The question was not sent; of the operation this says nothing.
	}
	return o
}

// exchange sends one request and judges what comes of it.
func (g *Gateway) exchange(ctx context.Context, e protocol.Exchange, build func(context.Context) (*http.Request, error)) messages.Outcome {
	var connected atomic.Bool
	request, err := build(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	if err != nil {
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: err.Error()}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "tender")
	if g.apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+g.apiKey)
	}
	// The transport itself rather than an http.Client: no redirects, no cookies.
	response, err := g.transport.RoundTrip(request)
	if err != nil {
		return failed(ctx, err, connected.Load())
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, protocol.BodyBytesMax+1))
	switch {
	case err != nil:
		return failed(ctx, fmt.Errorf("read answer with status %d: %w", response.StatusCode, err), true)
	case len(body) > protocol.BodyBytesMax:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("the answer is longer than %d bytes", protocol.BodyBytesMax)}
	}
	return e.Outcome(protocol.Reply{Status: response.StatusCode, Body: body, RetryAfter: retryAfter(response.Header)})
}

// failed judges an exchange that brought no reply. Only what never had a connection is proven not to have been sent.
func failed(ctx context.Context, err error, connected bool) messages.Outcome {
	kind, stage := messages.OutcomeNotSent, "no connection"
	if connected {
		kind, stage = messages.OutcomeUnknown, "no answer"
	}
	if ctx.Err() != nil {
		stage += " in time"
	}
	return messages.Outcome{Kind: kind, Detail: protocol.Shown(fmt.Sprintf("%s: %v", stage, err))}
}

// retryAfterMax is the longest rest a server is believed to want.
const retryAfterMax = 24 * time.Hour

// retryAfter reads the header of that name in whole seconds, the protocol's only form; 0 if it is not there.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, retryAfterMax)
}
