package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/cmd/internal/scripts"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/rig"
)

// TestChaosShort injects a few faults with a fixed seed, and expects no finding. `make faults`
// injects all of them.
func TestChaosShort(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "tenderlab", "chaos", "--short", "--seed", "20", "--rate", "15", "--mixed", "1", "--json", "--dir", t.TempDir())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.Getenv("TMPDIR"), scripts.QuickExit()}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run tenderlab chaos: %v", err)
	}
	var report chaos.Report
	if decodeErr := json.Unmarshal(stdout.Bytes(), &report); decodeErr != nil {
		t.Fatalf("read the report: %v (%v)\n%s", decodeErr, err, stderr.Bytes())
	}
	if err != nil || !report.OK() {
		t.Errorf("the run: %v\n%s\n%s", err, stderr.Bytes(), stdout.Bytes())
	}
	happened := map[string]bool{}
	for _, i := range report.Injections {
		name, _, _ := strings.Cut(i.Name, " ")
		happened[name] = true
		if i.BringingAbout < 0 || i.Lasting < 0 || i.Recovering < 0 || i.BringingAbout+i.Lasting+i.Recovering == 0 {
			t.Errorf("%s took %s, %s and %s", i.Name, i.BringingAbout, i.Lasting, i.Recovering)
		}
	}
	for _, name := range chaosShort() {
		if !happened[name] {
			t.Errorf("%s did not happen", name)
		}
	}
	for _, item := range report.Verdict.Items {
		if item.Checked == 0 {
			t.Errorf("%s was not checked", item.Name)
		}
	}
	if f := report.Verdict.Figures; f.Acknowledged == 0 || f.Payments == 0 || f.GatewayEffects == 0 || f.EventsSeen == 0 {
		t.Errorf("the run is empty: %+v", f)
	}
}

// TestChaosFaultsAreNamed checks the list of faults.
func TestChaosFaultsAreNamed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range rig.Faults() {
		if f.Name == "" || f.About == "" || f.Class == "" || f.Inject == nil || seen[f.Name] {
			t.Errorf("fault %q lacks something, or is there twice", f.Name)
		}
		seen[f.Name] = true
	}
	for _, name := range chaosShort() {
		if !seen[name] {
			t.Errorf("the short run names %q, which there is not", name)
		}
	}
}

// TestChaosNamesTheMissingProgram wants a clear error where the program under test is not beside
// this one.
func TestChaosNamesTheMissingProgram(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "tender"), t.TempDir()} {
		var stderr bytes.Buffer
		e := &term.Env{Program: "tenderlab", Stdout: &bytes.Buffer{}, Stderr: &stderr, Now: time.Now}
		want := "tenderlab: there is no program " + path + " to test"
		if code := e.Main(t.Context(), []string{"chaos", "--tender", path}, newRoot); code != int(term.ExitUsage) || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("exit code %d, %s", code, stderr.String())
		}
	}
}

// TestChaosKeepsToThisMachine expects servers on other machines to be refused.
func TestChaosKeepsToThisMachine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--nats", "nats://nats.example.com:4222", "--postgres", "postgres://127.0.0.1:5432/tender", "--gateway", "a=http://127.0.0.1:1"},
		{"--nats", "nats://127.0.0.1:4222", "--postgres", "postgres://10.0.0.7:5432/tender", "--gateway", "a=http://127.0.0.1:1"},
		{"--nats", "nats://127.0.0.1:4222", "--postgres", "postgres://127.0.0.1:5432/tender", "--gateway", "a=http://gateway.example.com:80"},
	} {
		var stderr bytes.Buffer
		e := &term.Env{Program: "tenderlab", Stdout: &bytes.Buffer{}, Stderr: &stderr}
		if code := e.Main(t.Context(), append([]string{"chaos", "--tender", "/bin/sh"}, args...), newRoot); code != int(term.ExitUsage) || !strings.Contains(stderr.String(), "is another machine") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr.String())
		}
	}
}
