package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/config"
)

// write puts a configuration file into a folder of its own.
func write(t testing.TB, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tender.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, yaml string, environ ...string) config.Config {
	t.Helper()
	c, err := config.Load(write(t, yaml), environ)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

// mistakes are the keys that Load complains about, sorted.
func mistakes(t testing.TB, yaml string, environ ...string) []string {
	t.Helper()
	c, err := config.Load(write(t, yaml), environ)
	if err != nil && !cmp.Equal(c, config.Config{}, cmpopts.IgnoreUnexported(config.Config{})) {
		t.Errorf("a configuration came back together with the error %v", err)
	}
	var keys []string
	for _, mistake := range config.KeyErrors(err) {
		keys = append(keys, mistake.Key)
	}
	if err != nil && len(keys) == 0 {
		t.Errorf("the error names no key: %v", err)
	}
	slices.Sort(keys)
	return keys
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), c, cmpopts.IgnoreUnexported(c)); diff != "" {
		t.Errorf("loaded from nothing (-default +loaded):\n%s", diff)
	}
	for _, nothing := range []string{"", "\n", "# only a comment\n", "---\n", "null\n", "worker:\nnats: {}\nstore: {batch_max: }\ngateways:\n"} {
		if diff := cmp.Diff(c, load(t, nothing), cmpopts.IgnoreUnexported(c)); diff != "" {
			t.Errorf("loaded from %q (-default +loaded):\n%s", nothing, diff)
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	c := load(t, `
worker:
  slots_max: 100
  deliveries_max: 5
log: {level: debug}
`, "TENDER_WORKER_SLOTS_MAX=64", "TENDER_POSTGRES_URL=postgres://app:pw@db/tender", "PATH=/bin", "TENDER_CONFIG=elsewhere.yaml", "TENDER_LOG_FORMAT=")

	if c.Worker.SlotsMax != 64 || c.Worker.DeliveriesMax != 5 || c.Log.Level != config.LogDebug || c.Log.Format != config.LogJSON {
		t.Errorf("worker = %+v, log = %+v", c.Worker, c.Log)
	}
	if got := c.Postgres.URL.Reveal(); got != "postgres://app:pw@db/tender" {
		t.Errorf("postgres.url = %q", got)
	}
	for key, want := range map[string]config.Origin{
		"worker.slots_max":      {Layer: config.LayerEnv, Place: "TENDER_WORKER_SLOTS_MAX"},
		"worker.deliveries_max": {Layer: config.LayerFile, Place: "tender.yaml:4"},
		"log.level":             {Layer: config.LayerFile, Place: "tender.yaml:5"},
		"log.format":            {Layer: config.LayerDefault},
		"postgres.max_conns":    {Layer: config.LayerDefault},
	} {
		if got := c.Origin(key); got != want {
			t.Errorf("origin of %s = %v, want %v", key, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	c := load(t, `
roles: [relay]
streams: {cmd_max_bytes: 10737418240, evt_max_age: 0}
nats: {name: "42"}
gateways:
  primary: {kind: http, url: "https://pay.example.com/v1", breaker: {failure_ratio: 1}}
  eu_backup: {kind: sim}
allow_simulator: true
routing: {default: primary}
`,
		"TENDER_RETRY_UNKNOWN_REPLAYS=1s, 2s,90s",
		"TENDER_GATEWAYS_PRIMARY_API_KEY=key=with=signs",
		"TENDER_GATEWAYS_PRIMARY_TIMEOUTS_AUTHORIZE=1500ms",
		"TENDER_GATEWAYS_EU_BACKUP_BREAKER_FAILURE_RATIO=0.25",
		"TENDER_STREAMS_REPLICAS=3",
	)
	if diff := cmp.Diff([]config.Role{config.RoleRelay}, c.Roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	if c.Streams.CmdMaxBytes != 10<<30 || c.Streams.EvtMaxAge != 0 || c.Streams.Replicas != 3 || c.NATS.Name != "42" {
		t.Errorf("streams = %+v, nats.name = %q", c.Streams, c.NATS.Name)
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second, 90 * time.Second}, c.Retry.UnknownReplays); diff != "" {
		t.Errorf("retry.unknown_replays (-want +got):\n%s", diff)
	}
	primary, backup := c.Gateways["primary"], c.Gateways["eu_backup"]
	if len(c.Gateways) != 2 || primary.APIKey.Reveal() != "key=with=signs" || primary.Timeouts.Authorize != 1500*time.Millisecond ||
		primary.Timeouts.Capture != 10*time.Second || primary.Breaker.FailureRatio != 1 || backup.Breaker.FailureRatio != 0.25 {
		t.Errorf("gateways = %+v", c.Gateways)
	}
}

func TestDefaultGatewayBendsToVariables(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", []string{"TENDER_GATEWAYS_SIMULATOR_URL=http://simulator:8585", "TENDER_GATEWAYS_SIMULATOR_CONCURRENCY_MAX=9"})
	if err != nil {
		t.Fatal(err)
	}
	if g := c.Gateways["simulator"]; g.URL.Reveal() != "http://simulator:8585" || g.ConcurrencyMax != 9 || g.Kind != config.GatewayHTTP {
		t.Errorf("simulator = %+v", g)
	}
}

func TestMergeKeysAndAliases(t *testing.T) {
	t.Parallel()
	c := load(t, `
gateways:
  one: &usual {kind: http, url: "http://one:1", concurrency_max: 7}
  two: {<<: *usual, url: "http://two:2"}
routing: {default: one}
`)
	if two := c.Gateways["two"]; two.ConcurrencyMax != 7 || two.URL.Reveal() != "http://two:2" {
		t.Errorf("two = %+v", two)
	}
}

func TestServiceLinksOfKubernetesAreNoMistakes(t *testing.T) {
	t.Parallel()
	_, err := config.Load("", []string{
		"TENDER_SERVICE_HOST=10.0.0.1", "TENDER_SERVICE_PORT=80", "TENDER_SERVICE_PORT_HTTP=80", "TENDER_PORT=tcp://10.0.0.1:80",
		"TENDER_PORT_80_TCP=tcp://10.0.0.1:80", "TENDER_PORT_80_TCP_PROTO=tcp", "TENDER_PORT_80_TCP_PORT=80", "TENDER_PORT_80_TCP_ADDR=10.0.0.1",
		"TENDER_SIMULATOR_SERVICE_HOST=10.0.0.2", "TENDER_SIMULATOR_PORT=tcp://10.0.0.2:8585",
	})
	if err != nil {
		t.Errorf("load: %v", err)
	}
	if got := mistakes(t, "", "TENDER_NATS_PORT=4222"); !cmp.Equal(got, []string{"TENDER_NATS_PORT"}) {
		t.Errorf("mistakes = %v", got)
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	_, err := config.Load(write(t, `
wroker: {slots_max: 1}
store: {batchmax: 2}
zzz: 1
`), []string{"TENDER_POSTGRES_URI=x", "TENDER_GATEWAYS_PRIMARY_API_KEY=hunter2"})
	want := map[string]string{
		"wroker.slots_max":                "worker.slots_max",
		"store.batchmax":                  "store.batch_max",
		"zzz":                             "",
		"TENDER_POSTGRES_URI":             "TENDER_POSTGRES_URL",
		"TENDER_GATEWAYS_PRIMARY_API_KEY": "TENDER_GATEWAYS_SIMULATOR_API_KEY",
	}
	for _, mistake := range config.KeyErrors(err) {
		suggested, expected := want[mistake.Key]
		if !expected {
			t.Errorf("unexpected: %v", mistake)
		}
		if asks := strings.Contains(mistake.Problem, "did you mean "+suggested+"?"); asks != (suggested != "") {
			t.Errorf("%s: %s; want it to suggest %q", mistake.Key, mistake.Problem, suggested)
		}
		delete(want, mistake.Key)
	}
	if len(want) > 0 {
		t.Errorf("not reported: %v", want)
	}
}

func TestFileThatMakesNoSense(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(filepath.Join(t.TempDir(), "missing.yaml"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for name, yaml := range map[string]string{
		"not YAML":        "nats: [",
		"a tab":           "nats:\n\turl: x\n",
		"a list":          "- nats\n",
		"a word":          "hunter2\n",
		"two documents":   "log: {level: info}\n---\nlog: {level: debug}\n",
		"unknown anchor":  "nats: {password: *hunter2}\n",
		"wrong tag":       "nats: {password: !!int hunter2}\n",
		"circular anchor": "nats: &hunter2 {user: *hunter2}\n",
		"not UTF-8":       "nats: {user: \xff\xfe}\n",
	} {
		_, err := config.Load(write(t, yaml), nil)
		if err == nil || len(config.KeyErrors(err)) > 0 {
			t.Errorf("%s: %v; want an error about the whole file", name, err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
}

// TestOursStripeHasRateDefaults holds that a gateway of the kind stripe keeps within Stripe's
// limits unless a layer says otherwise.
func TestOursStripeHasRateDefaults(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tender.yaml")
	document := `
gateways:
  plain: {kind: stripe, api_key: sk_test_1}
  chosen: {kind: stripe, api_key: sk_test_1, rate: {per_second: 0, kind_per_second: 5}}
  bank: {kind: http, url: "https://bank.example"}
routing: {default: plain}
`
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, []string{"TENDER_GATEWAYS_BANK_RATE_PER_SECOND=7"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]config.Rate{
		"plain":  {PerSecond: 100, PerKind: 25, Burst: 1},
		"chosen": {PerSecond: 0, PerKind: 5, Burst: 1},
		"bank":   {PerSecond: 7, Burst: 1},
	} {
		if got := c.Gateways[name].Rate; got != want {
			t.Errorf("%s has the rate %+v, want %+v", name, got, want)
		}
	}
}
