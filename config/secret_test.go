package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/config"
)

// hidden is a secret that cannot occur by chance.
const hidden = "hunter2SECRET"

// outputs is everything that writes a value somewhere.
func outputs(t *testing.T, v any) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%20v", "%t"} {
		all["fmt "+verb] = fmt.Sprintf(verb, v)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	all["json"] = string(asJSON)
	asYAML, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	all["yaml"] = string(asYAML)

	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	all["slog"] = out.String()

	var logged bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("v", v), zap.Reflect("r", v))
	all["zap"] = logged.String()
	return all
}

func TestSecretsAreNeverWritten(t *testing.T) {
	t.Parallel()
	c := load(t, `
nats: {url: "nats://`+hidden+`@a:4222,tls://u:`+hidden+`@b", user: app, password: `+hidden+`}
postgres: {url: "postgres://app:`+hidden+`@db:5432/tender?sslmode=require&sslpassword=`+hidden+`"}
gateways: {one: {kind: http, url: "https://`+hidden+`@one/v1?key=`+hidden+`", api_key: `+hidden+`}}
routing: {default: one}
`)
	written := outputs(t, c)
	for name, text := range outputs(t, &c) {
		written["pointer "+name] = text
	}
	for name, v := range map[string]any{"secret": c.NATS.Password, "url": c.Postgres.URL, "gateway": c.Gateways["one"]} {
		for output, text := range outputs(t, v) {
			written[name+" "+output] = text
		}
	}
	for _, o := range []config.PrintOptions{{}, {Docs: true}, {Origins: true}} {
		var out bytes.Buffer
		if err := config.Print(&out, c, o); err != nil {
			t.Fatal(err)
		}
		written[fmt.Sprintf("print %+v", o)] = out.String()
	}
	for output, text := range outputs(t, c.Effective()) {
		written["effective "+output] = text
	}
	for where, text := range written {
		if leaks(text) {
			t.Errorf("%s shows the secret: %s", where, text)
		}
	}
	if text := written["print {Docs:false Origins:false}"]; !strings.Contains(text, "postgres://app:xxxxx@db:5432/tender?sslmode=require") ||
		!strings.Contains(text, "password: redacted") {
		t.Errorf("printed:\n%s", text)
	}
}

// leaks looks for the secret in clear and in hex.
func leaks(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, strings.ToLower(hidden)) || strings.Contains(text, fmt.Sprintf("%x", hidden))
}

func TestSecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		"postgres: {url: 'postgres://u:" + hidden + "@db:nope/x'}",
		"postgres: {url: 'postgres://u:" + hidden + "%zz@db/x'}",
		"postgres: {url: '" + hidden + "'}",
		"postgres: {url: \"" + hidden + "\\n\"}",
		"postgres: {url: [" + hidden + "]}",
		"nats: {url: '" + hidden + "@a,nats://b'}",
		"nats: {password: [" + hidden + "]}",
		"nats: {password: \"" + hidden + "\\n\"}",
		"nats: {password: *" + hidden + "}",
		"nats: {password: !!float " + hidden + "}",
		"nats: {password: !!binary " + hidden + "}",
		"nats: {password: " + hidden,
		"gateways: {a: {kind: http, url: '" + hidden + "', api_key: [" + hidden + "]}}",
		hidden,
	} {
		_, err := config.Load(write(t, yaml+"\n"), nil)
		if err == nil {
			t.Errorf("%s: no error", yaml)
		} else if leaks(err.Error()) || leaks(fmt.Sprintf("%+v %#v", err, config.KeyErrors(err))) {
			t.Errorf("%s: the error shows the secret: %v", yaml, err)
		}
	}
}

func TestEmptySecretsShowAsEmpty(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%v|%q|%v", config.Secret(""), config.Secret(""), config.URL("")); got != `|""|` {
		t.Errorf("got %s", got)
	}
}

func TestURLString(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"postgres://127.0.0.1:5432/tender":            "postgres://127.0.0.1:5432/tender",
		"postgres://app@db/tender":                    "postgres://app@db/tender",
		"postgres://app:pw@a:1,b:2/x?sslmode=disable": "postgres://app:xxxxx@a:1,b:2/x?sslmode=disable",
		"postgres://db/x?password=pw&port=1&flag":     "postgres://db/x?password=xxxxx&port=1&xxxxx",
		"nats://token@a:4222, tls://u:pw@b:4222":      "nats://xxxxx@a:4222,tls://u:xxxxx@b:4222",
		"https://sk_live@api.example.com/v1":          "https://xxxxx@api.example.com/v1",
		"postgres://u:p/w@db/x":                       "redacted",
		"postgres://u:12#34@db/x":                     "redacted",
		"postgres://u:12?34@db/x":                     "redacted",
		"postgres://u:p@w@db/x":                       "postgres://u:xxxxx@db/x",
		"host=db password=pw":                         "redacted",
		"pw":                                          "redacted",
		"nats://u:12,34@a":                            "nats://u:xxxxx@a",
		"u:pw@a,nats://b":                             "redacted",
	} {
		if got := config.URL(address).String(); got != want {
			t.Errorf("%s prints as %s, want %s", address, got, want)
		}
	}
}

// TestURLHidesAnyPassword builds addresses with every kind of password, escaped as it should be and
// not at all.
func TestURLHidesAnyPassword(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.SampledFrom([]string{"postgres", "postgresql", "nats", "tls", "https"}).Draw(t, "scheme")
		part := rapid.StringMatching(`[a-z0-9:/?#@,&=;%+ .~-]{0,6}`)
		password := part.Draw(t, "before") + "QQ" + part.Draw(t, "after")
		tail := rapid.SampledFrom([]string{"@host:5432/db", "@host/db?sslmode=disable", "@host", "@a:1,b:2/db"}).Draw(t, "tail")
		escaped := url.UserPassword("user", password).String()
		for _, userinfo := range []string{escaped, "user:" + password} {
			address := scheme + "://" + userinfo + tail
			if shown := config.URL(address).String(); strings.Contains(shown, "QQ") {
				t.Fatalf("%s prints as %s", address, shown)
			}
		}
	})
}
