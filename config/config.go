package config

import "time"

// Config is everything an operator may set. Make one with [Load] or [Default]; the zero value is not valid. A Config is a
// value to be read: it may be copied and shared freely as long as nobody changes its lists and its map of gateways. What
// each key means, with its unit, is in [Reference].
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

// The roles. A process may play any of them; a deployment needs each of the first three at least once, and the webhook role
// where gateways are to say of their own accord what became of an operation.
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

// TLS names the files for an encrypted connection; all empty means what the URL's scheme says, with the system's authorities.
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

// Checkpoint says how often what the event store holds is put on record.
type Checkpoint struct {
	Interval time.Duration // 0 is never
}

// Routing says which gateway a payment goes to.
type Routing struct {
	Default   string // a name in Config.Gateways
	RulesFile string // "" is the one rule of Default
}

// Retry is the policy of timers: what is tried again later, when, and until when.
type Retry struct {
	UnknownReplays []time.Duration // since the outcome became unknown, ascending
	UnknownLookups []time.Duration // since the outcome became unknown, ascending
	NotSentInitial time.Duration
	NotSentMax     time.Duration
	NotSentGiveUp  time.Duration
	PendingCheck   time.Duration
	AuthExpiry     time.Duration
	ActionExpiry   time.Duration
	ExpiryWarning  time.Duration
	SoftRetries    []time.Duration
}

// Shutdown bounds how long a process takes to leave.
type Shutdown struct {
	DrainTimeout time.Duration
}

// Log says what is logged and how.
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
