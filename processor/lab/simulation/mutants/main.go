// Mutants puts bugs of logic back, one after the other, into a copy of the module, and lets the
// simulation find each: `make simulation-mutants`. It prints which seed and step did, or which
// named test of the core, and ends with exit code 1 if one was not found.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// limit is the time in which a bug has to be found, the build included.
const limit = 3 * time.Minute

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing more can be done
	if err := copyModule(ctx, dir); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "BUG\tPUT BACK\tFOUND BY\tSEED\tSTEP\tSECONDS")
	missed := 0
	for _, m := range mutants() {
		if len(os.Args) > 1 && os.Args[1] != m.bug {
			continue
		}
		began := time.Now()
		found, err := m.test(ctx, dir)
		if err != nil {
			return fmt.Errorf("bug %s, %s: %w", m.bug, m.what, err)
		}
		if found.by == "" {
			missed++
			found.by = "NOTHING"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.0f\n", m.bug, m.what, found.by, found.seed, found.step, time.Since(began).Seconds())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d were not found", missed)
	}
	return nil
}

// copyModule copies the files that git knows of.
func copyModule(ctx context.Context, dir string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "*.go", "go.mod", "go.sum", "*.sql", "*.json", "*.yaml", "*.html", "*.tmpl").Output()
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mutant is a bug, as replacements of text.
type mutant struct {
	bug, what string
	edits     []edit
}

type edit struct{ file, old, new string }

type found struct{ by, seed, step string }

// test puts the bug into the copy, looks for it, and takes it out again.
func (m *mutant) test(ctx context.Context, dir string) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, e := range m.edits {
		path := filepath.Join(dir, e.file)
		before, err := os.ReadFile(path)
		if err != nil {
			return found{}, err
		}
		if n := bytes.Count(before, []byte(e.old)); n != 1 {
			return found{}, fmt.Errorf("%s has %q %d times, not once", e.file, e.old, n)
		}
		defer os.WriteFile(path, before, 0o600) //nolint:errcheck // the next mutant would say so
		if err := os.WriteFile(path, bytes.Replace(before, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			return found{}, err
		}
	}
	out, err := inCopy(ctx, dir, "go", "run", "./cmd/tenderlab", "simulate", "--seeds", "30000", "--json")
	var report struct {
		Finding *struct {
			Seed      uint64 `json:"seed"`
			Step      int    `json:"step"`
			Invariant string `json:"invariant"`
		} `json:"finding"`
	}
	if decodeErr := json.Unmarshal(out, &report); decodeErr != nil {
		return found{}, fmt.Errorf("simulate: %w (%w)\n%s", decodeErr, err, out)
	}
	if f := report.Finding; f != nil {
		return found{f.Invariant, fmt.Sprint(f.Seed), fmt.Sprint(f.Step)}, nil
	}
	// A test has to find what the simulation does not.
	out, err = inCopy(ctx, dir, "go", "test", "./processor/payment")
	if name := regexp.MustCompile(`--- FAIL: (\S+)`).FindSubmatch(out); err != nil && name != nil {
		return found{by: string(name[1])}, nil
	}
	return found{}, nil
}

func inCopy(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	return cmd.Output()
}
