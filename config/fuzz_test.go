package config_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/config"
)

// FuzzLoad holds that no file and no variable makes Load panic, that an error comes without a
// configuration, and that what is accepted is valid and can be printed.
func FuzzLoad(f *testing.F) {
	f.Add(config.Example(), "TENDER_WORKER_SLOTS_MAX=1")
	f.Add("gateways: {a: &x {kind: sim}, b: *x}\nrouting: {default: a}\n", "TENDER_GATEWAYS_A_KIND=http")
	f.Add("a: [", "TENDER_=")
	f.Add("? {a: b}\n: c\n", "TENDER_ROLES=,")
	f.Add("gateways: {'': {kind: sim}, 1: 2}", "TENDER_GATEWAYS__KIND=sim")
	f.Add("roles: [[worker], null]\nretry: {unknown_replays: [null, {a: b}]}", "TENDER_RETRY_UNKNOWN_LOOKUPS=5m,,")
	f.Add("&a {nats: {url: &b x, name: *b}, <<: {log: {level: info}}}", "TENDER_NATS_URL=nats://a:b:c")
	f.Add("!!binary aGk=", "TENDER_LOG_LEVEL")
	f.Fuzz(func(t *testing.T, yaml, variable string) {
		c, err := config.Load(write(t, yaml), []string{variable})
		if err != nil {
			if !cmp.Equal(c, config.Config{}, cmpopts.IgnoreUnexported(c)) {
				t.Errorf("a configuration came back together with the error %v", err)
			}
			if err.Error() == "" {
				t.Error("the error says nothing")
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted, and yet not valid: %v", err)
		}
		if err := config.Print(new(bytes.Buffer), c, config.PrintOptions{Docs: true, Origins: true}); err != nil {
			t.Errorf("print: %v", err)
		}
	})
}
