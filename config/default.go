package config

import "time"

// defaultGatewayName is the entry that is there as long as the file names no gateway of its own.
const defaultGatewayName = "simulator"

// Default is the configuration with nothing set: everything on this machine at the usual ports, the
// roles that every deployment needs in one process, and payments sent to `tenderlab simulator` at
// its own default address, so that money never moves by default. It is valid.
func Default() Config {
	c := Config{
		NATS: NATS{
			URL:            "nats://127.0.0.1:4222",
			Name:           "tender",
			InboxPrefix:    "_INBOX",
			ConnectTimeout: 2 * time.Second,
		},
		Streams: Streams{
			Replicas:   1,
			CmdMaxAge:  168 * time.Hour,
			Duplicates: 2 * time.Minute,
			DLQMaxAge:  720 * time.Hour,
		},
		Postgres: Postgres{
			URL:              "postgres://127.0.0.1:5432/tender",
			MaxConns:         20,
			MinConns:         2,
			MaxConnIdle:      30 * time.Second,
			ConnectTimeout:   2 * time.Second,
			StatementTimeout: 30 * time.Second,
		},
		Roles: []Role{RoleWorker, RoleRelay, RoleScheduler},
		Worker: Worker{
			SlotsMax:      2048,
			AckWait:       30 * time.Second,
			DeliveriesMax: 8,
			Patience:      5 * time.Second,
			HandleTimeout: time.Minute,
		},
		Store:      Store{BatchMax: 512, Committers: 2},
		Outbox:     Outbox{BatchMax: 1000, PollInterval: 250 * time.Millisecond},
		Scheduler:  Scheduler{PollInterval: 250 * time.Millisecond, BatchMax: 500, Lease: 30 * time.Second},
		Checkpoint: Checkpoint{Interval: time.Minute},
		Gateways:   map[string]Gateway{},
		Routing:    Routing{Default: defaultGatewayName},
		Webhook:    defaultWebhook(),
		Retry:      defaultRetry(),
		Shutdown:   Shutdown{DrainTimeout: 25 * time.Second},
		Log:        Log{Level: LogInfo, Format: LogJSON},
	}
	simulator := newGateway()
	simulator.Kind = GatewayHTTP
	simulator.URL = "http://127.0.0.1:8585"
	c.Gateways[defaultGatewayName] = simulator
	return c
}

func defaultRetry() Retry {
	return Retry{
		UnknownReplays:   []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute},
		UnknownLookups:   []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour},
		NotSentInitial:   time.Second,
		NotSentMax:       5 * time.Minute,
		NotSentGiveUp:    time.Hour,
		PendingCheck:     time.Minute,
		PendingMax:       168 * time.Hour,
		PendingMaxRefund: 336 * time.Hour,
		AuthExpiry:       168 * time.Hour,
		ActionExpiry:     24 * time.Hour,
		ExpiryWarning:    24 * time.Hour,
		SoftRetries:      []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour},
	}
}

// newGateway holds the defaults of a gateway that the file names. Where it is and what speaks to it
// have none: a gateway is where money moves, and must be spelled out.
func newGateway() Gateway {
	return Gateway{
		Timeouts: Timeouts{
			Authorize: 10 * time.Second,
			Capture:   10 * time.Second,
			Void:      10 * time.Second,
			Refund:    10 * time.Second,
			Lookup:    5 * time.Second,
		},
		ConcurrencyMax: 256,
		QueueWait:      5 * time.Second,
		Rate:           Rate{Burst: 1},
		Retry:          GatewayRetry{TriesMax: 3, Initial: 50 * time.Millisecond, Max: time.Second},
		Breaker: Breaker{
			FailureRatio: 0.5,
			RequestsMin:  20,
			Window:       10 * time.Second,
			OpenFor:      5 * time.Second,
			ProbesMax:    5,
		},
	}
}

func roles() []Role { return []Role{RoleWorker, RoleRelay, RoleScheduler, RoleWebhook} }

func gatewayKinds() []GatewayKind {
	return []GatewayKind{GatewayHTTP, GatewayNATS, GatewaySim, GatewayStripe}
}

func logLevels() []LogLevel { return []LogLevel{LogDebug, LogInfo, LogWarn, LogError} }

func logFormats() []LogFormat { return []LogFormat{LogJSON, LogConsole} }
