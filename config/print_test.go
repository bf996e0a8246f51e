package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/config"
)

// update rewrites the example file: go test ./config -run TestExample -update.
var update = flag.Bool("update", false, "rewrite tender.example.yaml")

// TestExampleIsInStep compares the file with what the settings say. Its first lines, up to the
// first empty one, are written by hand.
func TestExampleIsInStep(t *testing.T) {
	t.Parallel()
	header, body, _ := strings.Cut(config.Example(), "\n\n")
	var want bytes.Buffer
	if err := config.Print(&want, config.Default(), config.PrintOptions{Docs: true}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("tender.example.yaml", []byte(header+"\n\n"+want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), body); diff != "" {
		t.Errorf("tender.example.yaml is out of step; go test ./config -run TestExample -update (-want +file):\n%s", diff)
	}
	c := load(t, config.Example())
	if diff := cmp.Diff(config.Default(), c, cmpopts.IgnoreUnexported(c)); diff != "" {
		t.Errorf("the example is not the default (-default +example):\n%s", diff)
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	c := load(t, "log:\n  level: warn\nroles: [relay]\n", "TENDER_WORKER_SLOTS_MAX=64", "TENDER_NATS_NAME=yes: \"#1\"")
	var out bytes.Buffer
	if err := config.Print(&out, c, config.PrintOptions{Origins: true}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"  level: warn # file tender.yaml:2\n", "roles: [relay] # file tender.yaml:3\n",
		"  slots_max: 64 # env TENDER_WORKER_SLOTS_MAX\n", "  format: json # default\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in:\n%s", line, out.String())
		}
	}
	again := load(t, out.String())
	if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(c)); diff != "" {
		t.Errorf("what was printed loads as something else (-printed +loaded):\n%s", diff)
	}
}

// closed is a writer that takes nothing.
type closed struct{}

var errClosed = errors.New("closed")

func (closed) Write([]byte) (int, error) { return 0, errClosed }

func TestPrintTellsOfItsWriter(t *testing.T) {
	t.Parallel()
	if err := config.Print(closed{}, config.Default(), config.PrintOptions{}); !errors.Is(err, errClosed) {
		t.Errorf("err = %v", err)
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	var names []string
	for _, key := range config.Reference() {
		names = append(names, key.Name)
		if key.Doc == "" || key.Type == "" || !strings.HasSuffix(key.Doc, ".") {
			t.Errorf("%s is not documented: %+v", key.Name, key)
		}
		if key.Secret && key.Default != "" {
			t.Errorf("%s is a secret with the default %q", key.Name, key.Default)
		}
	}
	var effective []string
	for _, one := range config.Default().Effective() {
		effective = append(effective, strings.Replace(one.Key, "gateways.simulator.", "gateways.<name>.", 1))
	}
	if diff := cmp.Diff(effective, names); diff != "" {
		t.Errorf("the reference has other keys than a configuration (-configuration +reference):\n%s", diff)
	}
}

// TestVariablesAreUnambiguous holds that every variable leads to one key, under any names of
// gateways.
func TestVariablesAreUnambiguous(t *testing.T) {
	t.Parallel()
	const gateway = "TENDER_GATEWAYS_<NAME>_"
	var plain, endings []string
	for _, key := range config.Reference() {
		if key.Env != config.EnvName(key.Name) {
			t.Errorf("%s has the variable %s", key.Name, key.Env)
		}
		if ending, ok := strings.CutPrefix(key.Env, gateway); ok {
			endings = append(endings, ending)
		} else {
			plain = append(plain, key.Env)
		}
	}
	for i, variable := range plain {
		if slices.Contains(plain[:i], variable) || strings.HasPrefix(variable, "TENDER_GATEWAYS_") || variable == config.FileEnv {
			t.Errorf("%s means two things", variable)
		}
	}
	for i, ending := range endings {
		for j, other := range endings {
			if i != j && (ending == other || strings.HasSuffix(ending, "_"+other)) {
				t.Errorf("a gateway's %s could be another one's %s", ending, other)
			}
		}
	}
}
