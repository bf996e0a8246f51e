package config

import "time"

// Gateway is one named way to a payment provider, with the bounds that are put around it.
type Gateway struct {
	Kind           GatewayKind
	URL            URL    // used by the kind http
	Connector      string // used by the kind nats; "" is the gateway's own name
	APIKey         Secret
	Stripe         Stripe // used by the kind stripe
	WebhookSecret  Secret // several, separated by commas
	Timeouts       Timeouts
	ConcurrencyMax int
	QueueWait      time.Duration
	Rate           Rate
	Retry          GatewayRetry
	Breaker        Breaker
}

// GatewayKind says what speaks to the provider.
type GatewayKind string

// The kinds.
const (
	GatewayHTTP GatewayKind = "http" // Tender's own gateway protocol over HTTP, as `tenderlab simulator` speaks it
	GatewayNATS GatewayKind = "nats" // a connector that answers over NATS
	// GatewayStripe is Stripe itself.
	GatewayStripe GatewayKind = "stripe"
	GatewaySim    GatewayKind = "sim" // the simulator inside the process: no network, nothing kept over a restart; see AllowSimulator
)

// Stripe is what only the kind stripe needs.
type Stripe struct {
	Account      string // acts for a connected account; "" for one's own
	ReturnURL    string // where Stripe sends the customer back to
	Multicapture bool   // the account may capture in several parts
}

// Timeouts bound one call at a gateway, connecting included.
type Timeouts struct {
	Authorize time.Duration
	Capture   time.Duration
	Void      time.Duration
	Refund    time.Duration
	Lookup    time.Duration
}

// Rate bounds the calls to a gateway by time, per process.
type Rate struct {
	PerSecond float64 // 0: no limit
	Burst     int
}

// GatewayRetry bounds the quick tries of one call, all of them under the same idempotency key.
type GatewayRetry struct {
	TriesMax int
	Initial  time.Duration
	Max      time.Duration
}

// Breaker says when a gateway is left alone and when it is tried again.
type Breaker struct {
	FailureRatio float64 // of the calls in the window; over 0, at most 1
	RequestsMin  int
	Window       time.Duration
	OpenFor      time.Duration
	ProbesMax    int
}

// longestCall is the longest that one call may take at the gateway, its quick tries included.
func (g Gateway) longestCall() time.Duration {
	t := g.Timeouts
	return max(t.Authorize, t.Capture, t.Void, t.Refund, t.Lookup)
}
