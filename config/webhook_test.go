package config_test

import (
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/config"
)

func TestWebhook(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", []string{
		"TENDER_ROLES=webhook", "TENDER_WEBHOOK_LISTEN=0.0.0.0:80", "TENDER_GATEWAYS_SIMULATOR_WEBHOOK_SECRET=old, new",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Gateways["simulator"].WebhookSecrets(); len(got) != 2 || got[0] != "old" || got[1] != "new" {
		t.Errorf("%d secrets", len(got))
	}
	if none := config.Default().Gateways["simulator"].WebhookSecrets(); none != nil {
		t.Errorf("%d secrets by default", len(none))
	}
}

func TestAWebhookThatCannotWorkIsAMistake(t *testing.T) {
	t.Parallel()
	for variable, key := range map[string]string{
		"TENDER_WEBHOOK_LISTEN=8586":                     "webhook.listen",
		"TENDER_WEBHOOK_LISTEN=:8586":                    "webhook.listen",
		"TENDER_WEBHOOK_LISTEN=localhost:http":           "webhook.listen",
		"TENDER_WEBHOOK_MAX_AGE=0s":                      "webhook.max_age",
		"TENDER_GATEWAYS_SIMULATOR_WEBHOOK_SECRET=hush,": "gateways.simulator.webhook_secret",
		"TENDER_ROLES=worker,webhook":                    "roles",
	} {
		_, err := config.Load("", []string{variable})
		found := config.KeyErrors(err)
		if len(found) != 1 || found[0].Key != key {
			t.Errorf("%s: %v, want one mistake in %s", variable, err, key)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Error("a secret is in an error")
		}
	}
}
