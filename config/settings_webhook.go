package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Webhook is the endpoint for what gateways say of their own accord.
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

// WebhookSecrets lists the secrets that events of the gateway may be signed with; none if it has no webhook.
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
