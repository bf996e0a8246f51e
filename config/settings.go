package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// setting binds a key to its field and its documentation. The settings of this file are the one
// list of all keys.
type setting struct {
	key   string
	doc   string
	value value
}

// section describes the keys below one name.
type section struct{ key, doc string }

func sections() []section {
	return []section{
		{"nats", "The connection to NATS."},
		{"nats.tls", "Files for an encrypted connection. All empty: as the URL's scheme says, with the system's authorities."},
		{"streams", "How JetStream keeps the streams; applied by `tender provision`."},
		{"postgres", "The connection pool to PostgreSQL, per process."},
		{"worker", "Handling of commands, per process."},
		{"store", "Group commit: changes that wait at the same time are written in one transaction."},
		{"outbox", "The relay that publishes committed events."},
		{"scheduler", "The firing of due timers."},
		{"checkpoint", "Proof of what the history held, on a stream from which nothing can be deleted; taken by the role scheduler."},
		{"gateways", "Gateways by name: a-z, 0-9 and _, beginning with a letter. Naming one here replaces the default entry, so name every one you use."},
		{"routing", "Which gateway a payment goes to."},
		{"webhook", "The endpoint for what gateways say of their own accord, POST /webhooks/<gateway>; served by the role webhook."},
		{"retry", "What is tried again later, by timers that survive a restart."},
		{"shutdown", "Leaving on SIGTERM."},
		{"log", "The log, on standard error."},
	}
}

// bind lists every setting of c in the order in which it is documented. The gateways are bound one
// by one, since the entries of a map have no address.
func bind(c *Config, gateways map[string]*Gateway) []setting {
	all := slices.Concat(
		natsSettings(&c.NATS),
		streamsSettings(&c.Streams),
		postgresSettings(&c.Postgres),
		[]setting{{"roles", "The parts this process plays. webhook is to be asked for: it listens on a port of its own.", words(&c.Roles, roles())}},
		workerSettings(&c.Worker),
		storeSettings(&c.Store),
		outboxSettings(&c.Outbox),
		schedulerSettings(&c.Scheduler),
		[]setting{{"checkpoint.interval", "How often to take a checkpoint of what was recorded since the last: what is newer can still be rewritten without a trace. 0: never.", duration(&c.Checkpoint.Interval)}},
	)
	for _, name := range slices.Sorted(maps.Keys(gateways)) {
		all = append(all, gatewaySettings("gateways."+name+".", gateways[name])...)
	}
	return slices.Concat(
		all,
		[]setting{{"allow_simulator", "Whether gateways may be of the kind sim, which moves no money. For tests; never in production.", yesNo(&c.AllowSimulator)}},
		routingSettings(&c.Routing),
		webhookSettings(&c.Webhook),
		retrySettings(&c.Retry),
		[]setting{{"shutdown.drain_timeout", "Longest wait for commands in progress before the process leaves anyway. Keep it below what the platform allows before it kills.", duration(&c.Shutdown.DrainTimeout)}},
		logSettings(&c.Log),
	)
}

func natsSettings(n *NATS) []setting {
	return []setting{
		{"nats.url", "Servers, separated by commas; nats://, tls://, ws:// or wss://.", location(&n.URL)},
		{"nats.credentials_file", "Path of a .creds file (JWT and seed). Not together with a user.", text(&n.CredentialsFile, "path")},
		{"nats.user", "User name; empty for none.", text(&n.User, "text")},
		{"nats.password", "Password of nats.user.", secret(&n.Password)},
		{"nats.tls.ca_file", "Path of the authorities to trust, PEM.", text(&n.TLS.CAFile, "path")},
		{"nats.tls.cert_file", "Path of this client's certificate, PEM. Together with key_file.", text(&n.TLS.CertFile, "path")},
		{"nats.tls.key_file", "Path of this client's key, PEM. Together with cert_file.", text(&n.TLS.KeyFile, "path")},
		{"nats.name", "Name of the connection in the server's monitoring.", text(&n.Name, "text")},
		{"nats.inbox_prefix", "Beginning of the subjects on which answers come, such as _INBOX.acme where an account keeps tenants apart.", text(&n.InboxPrefix, "subject")},
		{"nats.connect_timeout", "Longest wait for one attempt to connect.", duration(&n.ConnectTimeout)},
	}
}

func streamsSettings(s *Streams) []setting {
	return []setting{
		{"streams.replicas", "Copies of each stream in a cluster: 1, 3 or 5.", whole(&s.Replicas, "count")},
		{"streams.cmd_max_age", "How long commands are kept. 0: for ever.", duration(&s.CmdMaxAge)},
		{"streams.cmd_max_bytes", "Bytes of commands kept; beyond it new ones are refused to the producer. 0: no limit.", whole(&s.CmdMaxBytes, "bytes")},
		{"streams.duplicates", "How long JetStream remembers message ids and drops a second copy. Not longer than the stream keeps messages.", duration(&s.Duplicates)},
		{"streams.evt_max_age", "How long events are kept. 0: for ever.", duration(&s.EvtMaxAge)},
		{"streams.dlq_max_age", "How long dead letters are kept. 0: for ever.", duration(&s.DLQMaxAge)},
	}
}

func postgresSettings(p *Postgres) []setting {
	return []setting{
		{"postgres.url", "postgres://user:password@host:5432/database, with sslmode and other parameters of libpq.", location(&p.URL)},
		{"postgres.max_conns", "Connections in the pool at most. The relay holds one more of its own.", whole(&p.MaxConns, "count")},
		{"postgres.min_conns", "Connections kept open when idle.", whole(&p.MinConns, "count")},
		{"postgres.max_conn_idle", "How long a connection above min_conns may be idle before it is closed.", duration(&p.MaxConnIdle)},
		{"postgres.connect_timeout", "Longest wait for one attempt to connect.", duration(&p.ConnectTimeout)},
		{"postgres.statement_timeout", "Longest that one statement may run; then the server cancels it.", duration(&p.StatementTimeout)},
	}
}

func workerSettings(w *Worker) []setting {
	return []setting{
		{"worker.slots_max", "Commands in progress at once.", whole(&w.SlotsMax, "count")},
		{"worker.ack_wait", "How long JetStream waits for a sign of life before it gives a command to another worker.", duration(&w.AckWait)},
		{"worker.deliveries_max", "Deliveries of one command before it becomes a dead letter.", whole(&w.DeliveriesMax, "count")},
		{"worker.patience", "How long a command that came too early (its payment is not there yet, or an operation is in progress) is retried before it is refused. 0: refused at once.", duration(&w.Patience)},
		{"worker.handle_timeout", "How long a command may get nowhere before it is left to another worker. Must leave room for the longest call to a gateway.", duration(&w.HandleTimeout)},
	}
}

func storeSettings(s *Store) []setting {
	return []setting{
		{"store.batch_max", "Changes in one transaction, and payments in one query, at most.", whole(&s.BatchMax, "count")},
		{"store.committers", "Transactions written side by side. Must be below postgres.max_conns.", whole(&s.Committers, "count")},
	}
}

func outboxSettings(o *Outbox) []setting {
	return []setting{
		{"outbox.batch_max", "Events published in one atomic batch at most. JetStream takes no more than 1000.", whole(&o.BatchMax, "count")},
		{"outbox.poll_interval", "How often to look for events when no notification came.", duration(&o.PollInterval)},
	}
}

func schedulerSettings(s *Scheduler) []setting {
	return []setting{
		{"scheduler.poll_interval", "How often to look for due timers: a timer may be late by this much.", duration(&s.PollInterval)},
		{"scheduler.batch_max", "Timers fired in one transaction at most.", whole(&s.BatchMax, "count")},
		{"scheduler.lease", "How long a fired timer may go unanswered. Then it fires again, once its command waits no more. Longer than poll_interval.", duration(&s.Lease)},
	}
}

func routingSettings(r *Routing) []setting {
	return []setting{
		{"routing.default", "The gateway of every payment, by its name under gateways, as long as there are no rules.", text(&r.Default, "text")},
		{"routing.rules_file", "Path of a file with routing rules, in place of routing.default; empty for none. Rules set with `tender routing set` stand above both.", text(&r.RulesFile, "path")},
	}
}

func retrySettings(r *Retry) []setting {
	return []setting{
		{"retry.unknown_replays", "When to repeat a call whose outcome is unknown, with the same key at the same gateway: ages of the unknown outcome, ascending.", durations(&r.UnknownReplays)},
		{"retry.unknown_lookups", "When to look such an outcome up afterwards, ascending; after the last one a person is asked.", durations(&r.UnknownLookups)},
		{"retry.not_sent_initial", "First wait after a call that provably never left; doubled each time.", duration(&r.NotSentInitial)},
		{"retry.not_sent_max", "Longest such wait.", duration(&r.NotSentMax)},
		{"retry.not_sent_give_up", "When to give such a call up and fail the operation, counted from its first try.", duration(&r.NotSentGiveUp)},
		{"retry.pending_check", "When to first ask about what the gateway finishes later; twice as long after each question, up to 12h.", duration(&r.PendingCheck)},
		{"retry.pending_max", "How long a gateway may process an operation before a person is asked.", duration(&r.PendingMax)},
		{"retry.pending_max_refund", "The same for a refund.", duration(&r.PendingMaxRefund)},
		{"retry.auth_expiry", "Lifetime of an authorization where the gateway gives none.", duration(&r.AuthExpiry)},
		{"retry.action_expiry", "How long a payment may wait for the customer's action (3-D Secure).", duration(&r.ActionExpiry)},
		{"retry.expiry_warning", "How long before an authorization lapses to publish payment.expiring. 0: never.", duration(&r.ExpiryWarning)},
		{"retry.soft_retries", "Waits before the attempts that a producer asked for after soft declines, where the gateway gives no advice; the last one repeats.", durations(&r.SoftRetries)},
	}
}

func logSettings(l *Log) []setting {
	return []setting{
		{"log.level", "Least severe level that is logged.", oneOf(&l.Level, logLevels())},
		{"log.format", "json for machines, console for people.", oneOf(&l.Format, logFormats())},
	}
}

// EnvName is the variable that sets a key: TENDER_WORKER_SLOTS_MAX for worker.slots_max.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// gatewaySettings lists the settings of one gateway under a prefix such as "gateways.primary.". No
// key may end like another one behind an underscore: the name before it would be ambiguous in a
// variable (a test holds this).
func gatewaySettings(prefix string, g *Gateway) []setting {
	all := []setting{
		{"kind", "What speaks to it: http (Tender's gateway protocol, as `tenderlab simulator` speaks it), nats (a connector that answers over NATS), stripe or sim (the simulator inside this process, with allow_simulator only). Required.", oneOf(&g.Kind, gatewayKinds())},
		{"url", "Base address, http:// or https://. Required for the kind http; for stripe, empty is Stripe's own.", location(&g.URL)},
		{"connector", "Name under which the connector answers, for the kind nats; empty: the gateway's own.", text(&g.Connector, "text")},
		{"api_key", "Key sent with every call; empty for none. Required for the kind stripe.", secret(&g.APIKey)},
		{"stripe.account", "Connected account to act for, acct_…; empty: one's own.", text(&g.Stripe.Account, "text")},
		{"stripe.return_to", "Where Stripe sends the customer back to after an action.", text(&g.Stripe.ReturnURL, "URL")},
		{"stripe.multicapture", "Whether the account may capture in several parts.", yesNo(&g.Stripe.Multicapture)},
		{"tokens", "Name of the vault whose payment methods (tokens) it understands; empty: its own. Give gateways that share tokens the same name: failover stays among them.", text(&g.Tokens, "text")},
		{"webhook_secret", "Secret that its webhooks are signed with; empty: it has none. Two, separated by a comma, while one replaces the other.", secret(&g.WebhookSecret)},
		{"timeouts.authorize", "Longest wait for the answer to one authorization, connecting included.", duration(&g.Timeouts.Authorize)},
		{"timeouts.capture", "The same for a capture.", duration(&g.Timeouts.Capture)},
		{"timeouts.void", "The same for a void.", duration(&g.Timeouts.Void)},
		{"timeouts.refund", "The same for a refund.", duration(&g.Timeouts.Refund)},
		{"timeouts.lookup", "The same for a lookup of an earlier operation.", duration(&g.Timeouts.Lookup)},
		{"concurrency_max", "Calls at once, per process. With several gateways keep it below worker.slots_max, so that a slow one starves no other.", whole(&g.ConcurrencyMax, "count")},
		{"queue_wait", "How long a call waits for a free place and for its turn under rate before it is parked, at most half of its timeout. It takes in bursts; a call that waits holds a slot, and half of worker.slots_max wait for a place at most.", duration(&g.QueueWait)},
		{"rate.per_second", "Calls in a second at most, per process: the provider's own limit, divided among the workers; may be less than 1. What waits longer than queue_wait is parked. 0: no limit; for the kind stripe the default is 100.", ratio(&g.Rate.PerSecond)},
		{"rate.kind_per_second", "The same for each kind of call by itself: authorize, confirm, capture, void, refund, lookup. 0: no limit; for the kind stripe, which limits each endpoint, the default is 25.", ratio(&g.Rate.PerKind)},
		{"rate.burst", "Calls in one moment after a rest. 1 keeps within the provider's limit however it counts.", whole(&g.Rate.Burst, "count")},
		{"retry.tries_max", "Quick tries of one call, the first included; all under the same idempotency key.", whole(&g.Retry.TriesMax, "count")},
		{"retry.initial", "First wait between them; grows each time.", duration(&g.Retry.Initial)},
		{"retry.max", "Longest wait between them.", duration(&g.Retry.Max)},
		{"breaker.failure_ratio", "Failed share of the calls in the window that opens the breaker: over 0, at most 1. Declines are not failures.", ratio(&g.Breaker.FailureRatio)},
		{"breaker.requests_min", "Calls in the window before the ratio counts.", whole(&g.Breaker.RequestsMin, "count")},
		{"breaker.window", "How far back calls are counted.", duration(&g.Breaker.Window)},
		{"breaker.open_for", "How long the gateway is left alone once the breaker opened.", duration(&g.Breaker.OpenFor)},
		{"breaker.probes_max", "Calls let through at once to see whether it is back.", whole(&g.Breaker.ProbesMax, "count")},
	}
	for i := range all {
		all[i].key = prefix + all[i].key
	}
	return all
}

// Webhook is the endpoint for notifications of gateways.
type Webhook struct {
	Listen string
	MaxAge time.Duration
}

func defaultWebhook() Webhook { return Webhook{Listen: "127.0.0.1:8586", MaxAge: 5 * time.Minute} }

func webhookSettings(w *Webhook) []setting {
	return []setting{
		{"webhook.listen", "Address that the role webhook listens on, host:port; put what terminates TLS before it. Port 0: a free one.", text(&w.Listen, "address")},
		{"webhook.max_age", "How old the signature of an event may be, and how far the clocks may be apart.", duration(&w.MaxAge)},
	}
}

// WebhookSecrets lists the secrets that events of the gateway may be signed with; none if it has no
// webhook.
func (g Gateway) WebhookSecrets() []Secret {
	if g.WebhookSecret == "" {
		return nil
	}
	var secrets []Secret
	for one := range strings.SplitSeq(g.WebhookSecret.Reveal(), ",") {
		secrets = append(secrets, Secret(strings.TrimSpace(one)))
	}
	return secrets
}
