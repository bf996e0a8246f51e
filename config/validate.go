package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// batchMax is the most messages that JetStream takes in one atomic batch.
const batchMax = 1000

// Validate checks every value, and the rules between them. It reports all mistakes at once, each as
// a [KeyError] ([KeyErrors] lists them). [Load] has already called it; call it again after changing
// a field.
func (c Config) Validate() error {
	f := findings{origins: c.origins}
	c.NATS.validate(&f)
	c.Streams.validate(&f)
	c.Postgres.validate(&f)
	c.validateRoles(&f)
	c.validateWork(&f)
	c.validateGateways(&f)
	c.validateWebhook(&f)
	c.Retry.validate(&f)
	f.positive("shutdown.drain_timeout", c.Shutdown.DrainTimeout)
	among(&f, "log.level", c.Log.Level, logLevels())
	among(&f, "log.format", c.Log.Format, logFormats())
	return f.err()
}

func (n NATS) validate(f *findings) {
	for _, address := range n.URL.pieces() {
		f.address("nats.url", address, "nats://127.0.0.1:4222", natsSchemes())
	}
	switch {
	case n.CredentialsFile != "" && n.User != "":
		f.add("nats.credentials_file", "must not be set together with nats.user: one of them says who this is")
	case n.User != "" && n.Password == "":
		f.add("nats.password", "must be set together with nats.user")
	case n.User == "" && n.Password != "":
		f.add("nats.user", "must be set together with nats.password")
	}
	switch {
	case n.TLS.CertFile != "" && n.TLS.KeyFile == "":
		f.add("nats.tls.key_file", "must be set together with nats.tls.cert_file")
	case n.TLS.CertFile == "" && n.TLS.KeyFile != "":
		f.add("nats.tls.cert_file", "must be set together with nats.tls.key_file")
	}
	if n.Name == "" {
		f.add("nats.name", "must not be empty")
	}
	if n.InboxPrefix == "" || strings.HasSuffix(n.InboxPrefix, ".") || strings.ContainsAny(n.InboxPrefix, "*> \t\r\n") {
		f.add("nats.inbox_prefix", "must be a subject without wildcards that does not end with a dot, such as _INBOX.acme")
	}
	f.positive("nats.connect_timeout", n.ConnectTimeout)
}

func (s Streams) validate(f *findings) {
	if s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5 {
		f.add("streams.replicas", "must be 1, 3 or 5, not %d", s.Replicas)
	}
	if s.CmdMaxBytes < 0 {
		f.add("streams.cmd_max_bytes", "must not be negative (0 is no limit): %d", s.CmdMaxBytes)
	}
	f.positive("streams.duplicates", s.Duplicates)
	s.validateAge(f, "streams.cmd_max_age", s.CmdMaxAge)
	s.validateAge(f, "streams.evt_max_age", s.EvtMaxAge)
	s.validateAge(f, "streams.dlq_max_age", s.DLQMaxAge)
}

// validateAge checks a rule of JetStream: message ids cannot be remembered longer than messages.
func (s Streams) validateAge(f *findings, key string, age time.Duration) {
	switch {
	case age < 0:
		f.add(key, "must not be negative (0 is for ever): %s", formatDuration(age))
	case age > 0 && age < s.Duplicates:
		f.add(key, "must not be shorter than streams.duplicates (%s), not %s", formatDuration(s.Duplicates), formatDuration(age))
	}
}

func (p Postgres) validate(f *findings) {
	f.address("postgres.url", string(p.URL), "postgres://user:password@127.0.0.1:5432/tender", postgresSchemes())
	f.within("postgres.max_conns", p.MaxConns, 1, 10_000)
	f.within("postgres.min_conns", p.MinConns, 0, max(p.MaxConns, 0))
	f.positive("postgres.max_conn_idle", p.MaxConnIdle)
	f.positive("postgres.connect_timeout", p.ConnectTimeout)
	f.positive("postgres.statement_timeout", p.StatementTimeout)
}

func (c Config) validateRoles(f *findings) {
	if len(c.Roles) == 0 {
		f.add("roles", "must name at least one of %s", listed(roles()))
	}
	for i, role := range c.Roles {
		among(f, "roles", role, roles())
		if slices.Contains(c.Roles[:i], role) {
			f.add("roles", "must name %s only once", quoted(string(role)))
		}
	}
}

func (c Config) validateWork(f *findings) {
	f.within("worker.slots_max", c.Worker.SlotsMax, 1, 65_536)
	f.atLeast("worker.ack_wait", c.Worker.AckWait, time.Second)
	f.within("worker.deliveries_max", c.Worker.DeliveriesMax, 1, 1_000)
	f.atLeast("worker.patience", c.Worker.Patience, 0)
	f.positive("worker.handle_timeout", c.Worker.HandleTimeout)

	f.within("store.batch_max", c.Store.BatchMax, 1, 10_000)
	if c.Store.Committers < 1 || c.Store.Committers >= c.Postgres.MaxConns {
		f.add("store.committers", "must be at least 1 and below postgres.max_conns (%d), not %d", c.Postgres.MaxConns, c.Store.Committers)
	}

	f.within("outbox.batch_max", c.Outbox.BatchMax, 1, batchMax)
	f.positive("outbox.poll_interval", c.Outbox.PollInterval)
	f.positive("scheduler.poll_interval", c.Scheduler.PollInterval)
	f.within("scheduler.batch_max", c.Scheduler.BatchMax, 1, 10_000)
	f.atLeast("checkpoint.interval", c.Checkpoint.Interval, 0)
	if c.Scheduler.Lease <= c.Scheduler.PollInterval {
		f.add("scheduler.lease", "must be longer than scheduler.poll_interval (%s), not %s",
			formatDuration(c.Scheduler.PollInterval), formatDuration(c.Scheduler.Lease))
	}
}

func (r Retry) validate(f *findings) {
	f.ladder("retry.unknown_replays", r.UnknownReplays)
	f.ladder("retry.unknown_lookups", r.UnknownLookups)
	switch replays, lookups := r.UnknownReplays, r.UnknownLookups; {
	case len(lookups) == 0:
		f.add("retry.unknown_lookups", "must not be empty: an unknown outcome is resolved by asking the gateway")
	case len(replays) > 0 && lookups[0] <= replays[len(replays)-1]:
		f.add("retry.unknown_lookups", "must begin after the last of retry.unknown_replays (%s), not at %s",
			formatDuration(replays[len(replays)-1]), formatDuration(lookups[0]))
	}
	f.positive("retry.not_sent_initial", r.NotSentInitial)
	f.atLeast("retry.not_sent_max", r.NotSentMax, r.NotSentInitial)
	f.atLeast("retry.not_sent_give_up", r.NotSentGiveUp, r.NotSentMax)
	f.positive("retry.pending_check", r.PendingCheck)
	f.atLeast("retry.pending_max", r.PendingMax, r.PendingCheck)
	f.atLeast("retry.pending_max_refund", r.PendingMaxRefund, r.PendingCheck)
	f.positive("retry.auth_expiry", r.AuthExpiry)
	f.positive("retry.action_expiry", r.ActionExpiry)
	if r.ExpiryWarning < 0 {
		f.add("retry.expiry_warning", "must not be negative (0 is never): %s", formatDuration(r.ExpiryWarning))
	}
	for _, wait := range r.SoftRetries {
		if wait < time.Hour {
			f.add("retry.soft_retries", "must be waits of at least 1h, which the card networks expect, not %s", formatDuration(wait))
		}
	}
}

func (f *findings) positive(key string, d time.Duration) {
	if d <= 0 {
		f.add(key, "must be longer than 0, not %s", formatDuration(d))
	}
}

func (f *findings) atLeast(key string, d, least time.Duration) {
	if d < least {
		f.add(key, "must be at least %s, not %s", formatDuration(least), formatDuration(d))
	}
}

func (f *findings) within(key string, n, least, most int) {
	if n < least || n > most {
		f.add(key, "must be between %d and %d, not %d", least, most, n)
	}
}

// ladder checks moments that come one after the other.
func (f *findings) ladder(key string, rungs []time.Duration) {
	for i, rung := range rungs {
		switch {
		case rung <= 0:
			f.add(key, "entry %d: must be longer than 0, not %s", i+1, formatDuration(rung))
		case i > 0 && rung <= rungs[i-1]:
			f.add(key, "entry %d: must be longer than the one before (%s), not %s", i+1, formatDuration(rungs[i-1]), formatDuration(rung))
		}
	}
}

// address checks the shape of a URL and says nothing of its content, where a password may be.
func (f *findings) address(key, address, example string, schemes []string) {
	u, err := url.Parse(address)
	if err != nil || !slices.Contains(schemes, u.Scheme) || !hasHost(u) {
		f.add(key, "must be a URL such as %s (scheme %s), with what is special in a password percent-encoded", example, strings.Join(schemes, ", "))
	}
}

// hasHost holds when there is a host with a port that can be one. PostgreSQL takes several hosts,
// and finds a Unix socket through the parameter host.
func hasHost(u *url.URL) bool {
	if u.Host == "" {
		return isPostgres(u.Scheme) && u.Query().Has("host")
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		name, port, hasPort := host, "", false
		if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
			name, port, hasPort = host[:i], host[i+1:], true
		}
		if n, err := strconv.ParseUint(port, 10, 16); name == "" || hasPort && (err != nil || n == 0) {
			return false
		}
	}
	return true
}

func among[T ~string](f *findings, key string, one T, allowed []T) {
	if !slices.Contains(allowed, one) {
		f.add(key, "must be one of %s, not %s", listed(allowed), quoted(string(one)))
	}
}

// names lists the gateways in a fixed order.
func (c Config) names() []string { return slices.Sorted(maps.Keys(c.Gateways)) }

func (c Config) validateWebhook(f *findings) {
	host, port, err := net.SplitHostPort(c.Webhook.Listen)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" {
		f.add("webhook.listen", "must be an address such as 127.0.0.1:8586, or 0.0.0.0:8586 for every interface, not %s", quoted(c.Webhook.Listen))
	}
	f.positive("webhook.max_age", c.Webhook.MaxAge)

	endpoints := 0
	for _, name := range c.names() {
		secrets := c.Gateways[name].WebhookSecrets()
		endpoints += min(1, len(secrets))
		if slices.Contains(secrets, "") {
			f.add("gateways."+name+".webhook_secret", "must not hold an empty secret beside a comma: anyone could sign with it")
		}
	}
	if endpoints == 0 && slices.Contains(c.Roles, RoleWebhook) {
		f.add("roles", "must not name %s as long as no gateway has a webhook_secret: there is nothing to listen for", quoted(string(RoleWebhook)))
	}
}

// gatewayName is the form of a gateway's name: the name is part of keys, of variables and of
// recorded payments.
var gatewayName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// connectorName is the form of a connector's name: the name is part of subjects
// (processor/gateway/protocol holds the same).
var connectorName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// rateMin is the lowest rate there is, in calls a second: one in a quarter of an hour.
const rateMin = 0.001

func (c Config) validateGateways(f *findings) {
	if len(c.Gateways) == 0 {
		f.add("gateways", "must name at least one gateway")
	}
	for _, name := range c.names() {
		key := "gateways." + name
		if !gatewayName.MatchString(name) {
			f.add(key, "must be named with a-z, 0-9 and _, beginning with a letter, 40 characters at most")
		}
		c.validateGateway(f, key, c.Gateways[name])
	}
	// With rules the default is of no use, and none has to be given; one that was given is still to
	// be right.
	_, given := c.origins["routing.default"]
	if _, exists := c.Gateways[c.Routing.Default]; !exists && (given || c.Routing.RulesFile == "") {
		f.add("routing.default", "must name one of the gateways (%s), not %s", listed(c.names()), quoted(c.Routing.Default))
	}
}

func (c Config) validateGateway(f *findings, key string, g Gateway) {
	among(f, key+".kind", g.Kind, gatewayKinds())
	if g.Kind == GatewaySim && !c.AllowSimulator {
		f.add(key+".kind", "must not be sim, which moves no money, unless allow_simulator is true")
	}
	if g.Kind == GatewayHTTP {
		f.address(key+".url", string(g.URL), "https://gateway.example.com", httpSchemes())
	}
	if g.Kind == GatewayStripe && g.APIKey == "" {
		f.add(key+".api_key", "must be set: Stripe takes no call without one")
	}
	if g.Kind == GatewayStripe && g.URL != "" {
		f.address(key+".url", string(g.URL), "https://api.stripe.com", httpSchemes())
	}
	if g.Kind == GatewayStripe && g.Stripe.ReturnURL != "" {
		f.address(key+".stripe.return_to", g.Stripe.ReturnURL, "https://shop.example.com/return", httpSchemes())
	}
	if g.Connector != "" && !connectorName.MatchString(g.Connector) {
		f.add(key+".connector", "must be named with a-z, 0-9, - and _, beginning with a letter or digit, 64 characters at most, not %s", quoted(g.Connector))
	}
	if g.Tokens != "" && !gatewayName.MatchString(g.Tokens) {
		f.add(key+".tokens", "must be named with a-z, 0-9 and _, beginning with a letter, 40 characters at most, not %s", quoted(g.Tokens))
	}
	f.positive(key+".timeouts.authorize", g.Timeouts.Authorize)
	f.positive(key+".timeouts.capture", g.Timeouts.Capture)
	f.positive(key+".timeouts.void", g.Timeouts.Void)
	f.positive(key+".timeouts.refund", g.Timeouts.Refund)
	f.positive(key+".timeouts.lookup", g.Timeouts.Lookup)

	f.within(key+".concurrency_max", g.ConcurrencyMax, 1, 65_536)
	if slots := c.Worker.SlotsMax; len(c.Gateways) > 1 && slots > 0 && g.ConcurrencyMax >= slots {
		f.add(key+".concurrency_max", "must be below worker.slots_max (%d), or this gateway alone could hold every slot; not %d", slots, g.ConcurrencyMax)
	}

	f.positive(key+".queue_wait", g.QueueWait)
	f.rate(key+".rate.per_second", g.Rate.PerSecond)
	f.rate(key+".rate.kind_per_second", g.Rate.PerKind)
	f.within(key+".rate.burst", g.Rate.Burst, 1, 1_000_000)

	f.within(key+".retry.tries_max", g.Retry.TriesMax, 1, 10)
	f.positive(key+".retry.initial", g.Retry.Initial)
	f.atLeast(key+".retry.max", g.Retry.Max, g.Retry.Initial)
	if longest := g.longestCall(); c.Worker.HandleTimeout > 0 && c.Worker.HandleTimeout < longest {
		f.add("worker.handle_timeout", "must be at least %s, the longest that the timeouts of %s allow, not %s",
			formatDuration(longest), key, formatDuration(c.Worker.HandleTimeout))
	}
	g.Breaker.validate(f, key+".breaker")
}

func (f *findings) rate(key string, calls float64) {
	if !(calls == 0 || calls >= rateMin) {
		f.add(key, "must be at least %v, or 0 for no limit, not %s", rateMin, fmt.Sprint(calls))
	}
}

func (b Breaker) validate(f *findings, key string) {
	if !(b.FailureRatio > 0 && b.FailureRatio <= 1) {
		f.add(key+".failure_ratio", "must be over 0 and at most 1, not %s", fmt.Sprint(b.FailureRatio))
	}
	f.within(key+".requests_min", b.RequestsMin, 1, 1_000_000)
	f.positive(key+".window", b.Window)
	f.positive(key+".open_for", b.OpenFor)
	f.within(key+".probes_max", b.ProbesMax, 1, 10_000)
}
