package config

import (
	"cmp"
	"time"
)

// Config is everything an operator may set. Make one with [Load] or [Default]; the zero value is
// not valid. A Config is a value to be read: it may be copied and shared freely as long as its
// lists and its map of gateways stay as they are. What each key means, with its unit, is in
// [Reference].
type Config struct {
	NATS       NATS
	Streams    Streams
	Postgres   Postgres
	Roles      []Role
	Worker     Worker
	Store      Store
	Outbox     Outbox
	Scheduler  Scheduler
	Checkpoint Checkpoint
	Gateways   map[string]Gateway // by name, as routes and payments know them
	// AllowSimulator permits gateways of the kind sim, which move no money.
	AllowSimulator bool
	Routing        Routing
	Webhook        Webhook
	Retry          Retry
	Shutdown       Shutdown
	Log            Log

	origins map[string]Origin // of every key that is not at its default
}

// Role is a part that a process plays under `tender serve`.
type Role string

// The roles. A process may play any of them; a deployment needs each of the first three at least
// once, and the webhook role where gateways are to send notifications.
const (
	RoleWorker    Role = "worker"    // handles commands and calls gateways
	RoleRelay     Role = "relay"     // publishes the outbox
	RoleScheduler Role = "scheduler" // fires due timers
	RoleWebhook   Role = "webhook"   // takes in the events of gateways, over HTTP
)

// NATS is the connection to the bus.
type NATS struct {
	URL             URL // one server, or several separated by commas
	CredentialsFile string
	User            string
	Password        Secret
	TLS             TLS
	Name            string
	InboxPrefix     string
	ConnectTimeout  time.Duration
}

// TLS names the files for an encrypted connection; all empty follows the URL's scheme, with the
// system's authorities.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
}

// Streams says how JetStream keeps the streams that `tender provision` makes.
type Streams struct {
	Replicas    int
	CmdMaxAge   time.Duration // 0: no limit
	CmdMaxBytes int64         // 0: no limit
	Duplicates  time.Duration
	EvtMaxAge   time.Duration // 0: no limit
	DLQMaxAge   time.Duration // 0: no limit
}

// Postgres is the connection pool to the database.
type Postgres struct {
	URL              URL
	MaxConns         int
	MinConns         int
	MaxConnIdle      time.Duration
	ConnectTimeout   time.Duration
	StatementTimeout time.Duration
}

// Worker bounds the handling of commands.
type Worker struct {
	SlotsMax      int
	AckWait       time.Duration
	DeliveriesMax int
	Patience      time.Duration
	HandleTimeout time.Duration
}

// Store bounds the group commit.
type Store struct {
	BatchMax   int
	Committers int
}

// Outbox bounds the relay.
type Outbox struct {
	BatchMax     int
	PollInterval time.Duration
}

// Scheduler bounds the firing of timers.
type Scheduler struct {
	PollInterval time.Duration
	BatchMax     int
	Lease        time.Duration
}

// Checkpoint is the interval at which checkpoints of the history are taken.
type Checkpoint struct {
	Interval time.Duration // 0 is never
}

// Routing says which gateway a payment goes to.
type Routing struct {
	Default   string // a name in Config.Gateways
	RulesFile string // "" is the one rule of Default
}

// Retry is the policy of timers: the later tries, when, and until when.
type Retry struct {
	UnknownReplays   []time.Duration // since the outcome became unknown, ascending
	UnknownLookups   []time.Duration // since the outcome became unknown, ascending
	NotSentInitial   time.Duration
	NotSentMax       time.Duration
	NotSentGiveUp    time.Duration
	PendingCheck     time.Duration
	PendingMax       time.Duration
	PendingMaxRefund time.Duration
	AuthExpiry       time.Duration
	ActionExpiry     time.Duration
	ExpiryWarning    time.Duration
	SoftRetries      []time.Duration
}

// Shutdown bounds how long a process takes to leave.
type Shutdown struct {
	DrainTimeout time.Duration
}

// Log is the level and the form of the log.
type Log struct {
	Level  LogLevel
	Format LogFormat
}

// LogLevel is the least severe level that is logged.
type LogLevel string

// The levels, from the most to the least talkative.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the shape of a line of the log.
type LogFormat string

// The formats: one JSON object per line for machines, aligned text for people.
const (
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// Gateway is one named way to a payment provider, with the bounds that are put around it.
type Gateway struct {
	Kind           GatewayKind
	URL            URL    // used by the kind http
	Connector      string // used by the kind nats; "" is the gateway's own name
	APIKey         Secret
	Stripe         Stripe // used by the kind stripe
	Tokens         string // the vault of the payment methods that it understands; "" is its own
	WebhookSecret  Secret // several, separated by commas
	Timeouts       Timeouts
	ConcurrencyMax int
	QueueWait      time.Duration
	Rate           Rate
	Retry          GatewayRetry
	Breaker        Breaker
}

// GatewayKind is the way to the provider.
type GatewayKind string

// The kinds.
const (
	GatewayHTTP GatewayKind = "http" // Tender's own gateway protocol over HTTP, as `tenderlab simulator` speaks it
	GatewayNATS GatewayKind = "nats" // a connector that answers over NATS
	// GatewayStripe is Stripe itself.
	GatewayStripe GatewayKind = "stripe"
	GatewaySim    GatewayKind = "sim" // the simulator inside the process: no network, nothing kept over a restart; see AllowSimulator
)

// Stripe holds the settings of the kind stripe.
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
	PerKind   float64 // of calls of one kind; 0: no limit
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

// Vault is the name of the vault whose payment methods the gateway of this name understands.
func (g Gateway) Vault(name string) string { return cmp.Or(g.Tokens, name) }

// longestCall is the longest that one call may take at the gateway, its quick tries included.
func (g Gateway) longestCall() time.Duration {
	t := g.Timeouts
	return max(t.Authorize, t.Capture, t.Void, t.Refund, t.Lookup)
}
