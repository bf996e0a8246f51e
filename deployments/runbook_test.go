package deployments_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// TestRunbook goes through RUNBOOK.md as an operator would: for each incident it makes the state
// that shows it, runs every recipe with the nats CLI and tender against real servers, compares what
// they print with what the runbook shows, and wants the incident to be over. A recipe without an
// incident fails, and so does an incident without a recipe.
func TestRunbook(t *testing.T) {
	t.Parallel()
	book, err := readRunbook("RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	known := incidents()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.ContainsFunc(book, func(c chapter) bool { return c.incident == name }) {
			t.Errorf("RUNBOOK.md has no recipe for the incident %s", name)
		}
	}
	programs := buildPrograms(t)
	for _, c := range book {
		made, ok := known[c.incident]
		if !ok {
			t.Errorf("RUNBOOK.md:%d: no scene makes the incident %s", c.line, c.incident)
			continue
		}
		t.Run(c.incident, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, programs, made)
			for _, step := range c.steps {
				s.take(step)
			}
			s.wantOver()
		})
	}
}

// TestRunbookNamesItsVariables holds the recipes to the variables that the runbook's beginning
// explains.
func TestRunbookNamesItsVariables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	beginning, _, _ := strings.Cut(string(text), "\n## ")
	explained := map[string]bool{}
	variable := regexp.MustCompile(`\$([A-Z][A-Z_]*)`)
	for _, name := range variable.FindAllString(beginning, -1) {
		explained[name] = false
	}
	book, err := readRunbook("RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range book {
		for _, step := range c.steps {
			for _, name := range variable.FindAllString(step.script, -1) {
				if _, ok := explained[name]; !ok {
					t.Errorf("RUNBOOK.md:%d: the beginning does not explain %s", step.line, name)
				}
				explained[name] = true
			}
		}
	}
	for name, used := range explained {
		if !used {
			t.Errorf("RUNBOOK.md explains %s, which no recipe uses", name)
		}
	}
}

// programs are what the recipes run. They lie in folders that go first on PATH; tender is in the
// first.
type programs struct{ folders []string }

// buildPrograms builds tender, and the nats CLI from the module that pins it.
func buildPrograms(t *testing.T) programs {
	t.Helper()
	shared, err := filepath.Abs("../bin")
	if err != nil {
		t.Fatal(err)
	}
	// Kept from run to run, so that only what has changed is built: bin/nats as make keeps it,
	// tender apart from make's.
	own := filepath.Join(shared, "runbook")
	build(t, "..", filepath.Join(own, "tender"), "./cmd/tender", "-trimpath", "-buildvcs=false")
	build(t, "../.ci/tools/nats", filepath.Join(shared, "nats"), "github.com/nats-io/natscli/nats", "-trimpath")
	return programs{folders: []string{own, shared, binDir(t)}}
}

func build(t *testing.T, module, program, source string, flags ...string) {
	t.Helper()
	arguments := append(append([]string{"-C", module, "build"}, flags...), "-o", program, source)
	cmd := exec.CommandContext(t.Context(), "go", arguments...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make builds: what one has compiled the other finds
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
}

// take does one step of a chapter.
func (s *scene) take(step step) {
	s.t.Helper()
	switch {
	case step.hand != "":
		hand, ok := s.made.hands[step.hand]
		if !ok {
			s.t.Fatalf("RUNBOOK.md:%d: the incident knows nothing of %q", step.line, step.hand)
		}
		hand(s)
	case step.until:
		var problem string
		defer func() {
			if problem != "" {
				s.t.Log(problem)
			}
		}()
		servers.Eventually(s.t, fmt.Sprintf("the recipe in RUNBOOK.md:%d to show what it should", step.line), func() bool {
			problem = s.try(step)
			return problem == ""
		})
	default:
		if problem := s.try(step); problem != "" {
			s.t.Fatal(problem)
		}
	}
}

// try runs a recipe and says what is not as the runbook has it.
func (s *scene) try(step step) string {
	s.t.Helper()
	out, code := s.shell(step.script)
	if code != step.exit {
		return fmt.Sprintf("RUNBOOK.md:%d: exit code %d, want %d:\n%s\n%s", step.line, code, step.exit, step.script, out)
	}
	if missing := firstMissing(step.want, out, s.vars); missing != "" {
		return fmt.Sprintf("RUNBOOK.md:%d: %q is not in the output, or not in this order:\n%s\n%s", step.line, missing, step.script, out)
	}
	return ""
}

// firstMissing looks for the wanted lines in the output, in order, and returns the first that is
// not there. Spaces and the frames of tables count as one space, "…" is anything, and $NAME is the
// variable's value.
func firstMissing(want []string, out string, vars map[string]string) string {
	gaps := regexp.MustCompile(`[\s│╭╮╰╯─├┤┬┴┼]+`)
	lines := strings.Split(out, "\n")
	for _, wanted := range want {
		told := os.Expand(wanted, func(name string) string { return vars[name] })
		pattern := regexp.QuoteMeta(strings.TrimSpace(gaps.ReplaceAllString(told, " ")))
		pattern = strings.ReplaceAll(pattern, "…", ".*")
		re := regexp.MustCompile("^" + pattern + "$")
		at := slices.IndexFunc(lines, func(line string) bool {
			return re.MatchString(strings.TrimSpace(gaps.ReplaceAllString(line, " ")))
		})
		if at < 0 {
			return wanted
		}
		lines = lines[at+1:]
	}
	return ""
}

// chapter is the part of the runbook that is about one incident.
type chapter struct {
	incident string
	line     int
	steps    []step
}

// step is a recipe, or what the operator does without one.
type step struct {
	line   int
	hand   string
	script string
	want   []string
	exit   int
	until  bool
}

// readRunbook reads the recipes. Comments that a reader doesn't see say how they are run:
//
//	<!-- test: NAME -->       the recipes from here on are for this incident, up to the next or the next heading
//	<!-- recipe: until -->    the next recipe is repeated until it shows what it should
//	<!-- recipe: exit 1 -->   the next recipe ends with this code
//	<!-- by hand: DEED -->    the reader does something here; the incident knows how
//
// A block of text below a recipe is what it prints, or part of it.
func readRunbook(path string) ([]chapter, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := runbookReader{}
	for i, line := range strings.Split(string(text), "\n") {
		if err := r.read(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	if r.block != "" {
		return nil, fmt.Errorf("%s: a block of %s has no end", path, r.block)
	}
	return r.book, nil
}

// runbookReader reads line by line.
type runbookReader struct {
	book  []chapter
	open  bool // within a chapter
	next  step // what comments said about the next recipe
	told  bool // the last block was a recipe, so that a text is what it prints
	block string
}

func (r *runbookReader) read(number int, line string) error {
	if r.block != "" {
		return r.inside(line)
	}
	comment, isComment := strings.CutPrefix(strings.TrimSpace(line), "<!-- ")
	comment, _ = strings.CutSuffix(comment, " -->")
	fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
	switch {
	case strings.HasPrefix(line, "## "):
		r.open, r.next, r.told = false, step{}, false
	case isComment:
		return r.comment(number, comment)
	case isFence:
		return r.begin(number, fence)
	}
	return nil
}

func (r *runbookReader) comment(number int, comment string) error {
	kind, rest, _ := strings.Cut(comment, ": ")
	switch kind {
	case "test":
		r.open, r.next, r.told = true, step{}, false
		r.book = append(r.book, chapter{incident: rest, line: number})
	case "by hand":
		if !r.open {
			return fmt.Errorf("%q outside a chapter", comment)
		}
		r.add(step{line: number, hand: rest})
	case "recipe":
		for _, word := range strings.Split(rest, ", ") {
			code, isExit := strings.CutPrefix(word, "exit ")
			if word == "until" {
				r.next.until = true
				continue
			}
			var err error
			if r.next.exit, err = strconv.Atoi(code); !isExit || err != nil {
				return fmt.Errorf("%q says nothing about a recipe", word)
			}
		}
	default:
		return fmt.Errorf("a comment of no meaning: %q", comment)
	}
	return nil
}

func (r *runbookReader) begin(number int, language string) error {
	r.block = language
	switch language {
	case "sh":
		if !r.open {
			return fmt.Errorf("a recipe of no incident: it needs a comment <!-- test: ... -->")
		}
		r.next.line = number
		r.add(r.next)
		r.next, r.told = step{}, true
	case "text":
		if !r.told {
			return fmt.Errorf("a text that belongs to no recipe")
		}
		r.told = false
	default:
		return fmt.Errorf("a block of %q: want sh or text", language)
	}
	return nil
}

func (r *runbookReader) add(s step) {
	last := &r.book[len(r.book)-1]
	last.steps = append(last.steps, s)
}

func (r *runbookReader) inside(line string) error {
	if strings.TrimSpace(line) == "```" {
		r.block = ""
		return nil
	}
	steps := r.book[len(r.book)-1].steps
	last := &steps[len(steps)-1]
	if r.block == "sh" {
		last.script += line + "\n"
	} else if strings.TrimSpace(line) != "…" {
		last.want = append(last.want, line)
	}
	return nil
}
