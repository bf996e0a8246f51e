package stripegw

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
)

// Config names the account that is charged, and the way to Stripe.
type Config struct {
	// APIKey is the account's secret key, or a restricted one that may read and write
	// PaymentIntents and refunds and read charges. It must be set, and is in no outcome and no
	// error.
	APIKey string
	// Account is the connected account on whose behalf all is done, "acct_…"; "" is the key's own.
	Account string
	// ReturnURL is the address to which customers are sent after they have authenticated. Without
	// one the next action holds the client secret in place of a page, with which Stripe.js goes on
	// in the shop.
	ReturnURL string
	// Multicapture asks for authorizations that can be captured in parts, where the card allows it.
	// Stripe turns requests for it down when the account does not have the feature; without it a
	// capture must be final.
	Multicapture bool

	// URL is the base address of the API; "" is Stripe's own.
	URL string
	// ConnectionsMax bounds the connections, and so the calls under way; 0 is 256. Give it the
	// Guard's ConcurrencyMax.
	ConnectionsMax int
	// DialTimeout bounds the making of a connection; 0 is 2 s.
	DialTimeout time.Duration
	// IdleTimeout is the time for which an unused connection is kept; 0 is 30 s.
	IdleTimeout time.Duration
	// TLS is used for https; nil means the system's roots and TLS 1.2 or later.
	TLS *tls.Config
	// Proxy chooses a proxy; nil means none, also if the environment names one.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock that tells the age of a payment's id; nil is time.Now.
	Now func() time.Time
}

// Gateway makes payments at Stripe. It may be used concurrently. Close it when it is no longer
// used.
type Gateway struct {
	config    Config
	client    *stripe.Client
	transport *http.Transport
}

var _ gateway.Gateway = (*Gateway)(nil)

// New returns a gateway. It connects to nothing yet, and fails only when the configuration makes no
// sense. The version of the API is the one that stripe-go was made for.
func New(c Config) (*Gateway, error) {
	if strings.TrimSpace(c.APIKey) == "" || strings.ContainsAny(c.APIKey, " \t\r\n") {
		return nil, errors.New("configure Stripe: it needs an API key, without spaces")
	}
	if strings.HasPrefix(c.APIKey, "pk_") {
		return nil, errors.New("configure Stripe: the API key is a publishable one, which can move no money")
	}
	c.URL = cmp.Or(c.URL, stripe.APIURL)
	base, err := wire.ParseAddress(c.URL)
	if err != nil {
		return nil, fmt.Errorf("configure Stripe: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ReturnURL != "" {
		if back, err := url.Parse(c.ReturnURL); err != nil || back.Scheme == "" {
			return nil, errors.New("configure Stripe: the return URL is none")
		}
	}
	transport, err := wire.NewTransport(wire.Config{
		ConnectionsMax: c.ConnectionsMax, DialTimeout: c.DialTimeout, IdleTimeout: c.IdleTimeout,
		TLS: c.TLS, Proxy: c.Proxy, Dial: c.Dial,
	})
	if err != nil {
		return nil, fmt.Errorf("configure Stripe: %w", err)
	}
	backends := stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		URL:               stripe.String(base.String()),
		HTTPClient:        &http.Client{Transport: &line{transport: transport, account: c.Account}},
		MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry:   stripe.Bool(false),
		// Its log would hold whole answers, with client secrets.
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return &Gateway{config: c, client: stripe.NewClient(c.APIKey, stripe.WithBackends(backends)), transport: transport}, nil
}

// Close lets go of the idle connections. Calls under way go on.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Do implements gateway.Gateway. From the second attempt on it first looks the earlier ones up,
// unless Stripe still knows the key of an authorize.
func (g *Gateway) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	r, why := g.request(op)
	if why != nil {
		return declined(why.code, why.detail)
	}
	return r.clean(r.attempt(ctx))
}

// Lookup implements gateway.Gateway.
func (g *Gateway) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	r, why := g.request(op)
	if why != nil {
		return unknown("cannot look it up: %s", why.detail)
	}
	o, err := r.find(ctx)
	if err != nil {
		o = r.judge(err)
		if o.Kind != messages.OutcomeUnknown {
			// The question failed, which says nothing of the operation.
			o = messages.Outcome{Kind: messages.OutcomeUnknown, Detail: o.Detail, RetryAfter: o.RetryAfter, Rest: o.Rest}
		}
	}
	return r.clean(o)
}
