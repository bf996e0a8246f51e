package messages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed-384b1f8a/tender/messages"
)

// The golden messages are what was once on the bus: <name>.json is a body, <name>.headers its
// subject and headers. They are append-only: SHA256SUMS pins every one. To add some, extend the
// samples (or write the files by hand) and run the tests once with TENDER_GOLDEN=append, which
// writes what is missing and never changes what is there.
const goldenDir = "testdata/golden"

// golden is one message as it stands in the files.
type golden struct {
	name, subject string
	header        map[string]string
	body          []byte
}

// schema returns the name of the schema that a golden message obeys: its own name without the
// variant after a "+".
func (g golden) schema() string {
	name, _, _ := strings.Cut(g.name, "+")
	return name
}

func TestGoldenMessages(t *testing.T) {
	t.Parallel()
	if os.Getenv("TENDER_GOLDEN") == "append" {
		appendGoldens(t)
	}
	compiled := schemas(t)
	checkSums(t)
	seen := make(map[string]bool)
	for _, g := range readGoldens(t) {
		seen[g.schema()] = true
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(g.body))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled[g.schema()].Validate(document); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			again := recode(t, g)
			if diff := cmp.Diff(string(g.body), string(again.body)); diff != "" {
				t.Errorf("body -golden +encoded again:\n%s", diff)
			}
			if diff := cmp.Diff(g.header, again.header); diff != "" || g.subject != again.subject {
				t.Errorf("subject %s, was %s; headers -golden +encoded again:\n%s", again.subject, g.subject, diff)
			}
		})
	}
	for _, name := range messages.SchemaNames() {
		if name != "common" && name != "event" && !seen[name] {
			t.Errorf("no golden message for %s", name)
		}
	}
}

// recode decodes a golden message and encodes what came out.
func recode(t *testing.T, g golden) golden {
	t.Helper()
	if strings.HasPrefix(g.name, "command.") {
		c, err := messages.DecodeCommand(g.subject, toHeader(g.header), g.body)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, g.header[messages.HeaderCETime])
		if err != nil {
			t.Fatal(err)
		}
		return encodeCommand(t, g.name, c, messages.Origin{Source: g.header[messages.HeaderCESource], Time: at})
	}
	if strings.HasPrefix(g.name, "audit.") {
		c, err := messages.DecodeCheckpoint(g.body)
		if err != nil {
			t.Fatal(err)
		}
		return encodeCheckpoint(c)
	}
	e, err := messages.DecodeEvent(toHeader(g.header), g.body)
	if err != nil {
		t.Fatal(err)
	}
	return encodeEvent(t, e)
}

func encodeCheckpoint(c messages.Checkpoint) golden {
	header, body := messages.EncodeCheckpoint(c)
	return golden{name: "audit.checkpoint", subject: messages.SubjectCheckpoint, header: header, body: body}
}

func encodeCommand(t *testing.T, name string, c messages.Command, origin messages.Origin) golden {
	t.Helper()
	subject, header, body, err := messages.EncodeCommand(c, origin)
	if err != nil {
		t.Fatal(err)
	}
	return golden{name: name, subject: subject, header: header, body: body}
}

func encodeEvent(t *testing.T, e messages.Event) golden {
	t.Helper()
	subject, header, body, err := messages.EncodeEvent(e)
	if err != nil {
		t.Fatal(err)
	}
	return golden{name: eventSchema(e.Type()), subject: subject, header: header, body: body}
}

func TestSamplesSurviveTheBus(t *testing.T) {
	t.Parallel()
	for _, c := range sampleCommands() {
		g := encodeCommand(t, "command", c, messages.Origin{})
		got, err := messages.DecodeCommand(g.subject, toHeader(g.header), g.body)
		if err != nil {
			t.Fatal(err)
		}
		c.PayloadHash = got.PayloadHash
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s: -sent +received:\n%s", c.Name(), diff)
		}
	}
	for _, e := range append(sampleEvents(), chainedEvent()) {
		g := encodeEvent(t, e)
		got, err := messages.DecodeEvent(toHeader(g.header), g.body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s: -sent +received:\n%s", e.Type(), diff)
		}
	}
}

// TestSamplesSetEveryField keeps the samples, and so the golden messages and the schemas, complete.
func TestSamplesSetEveryField(t *testing.T) {
	t.Parallel()
	var bodies []any
	for _, c := range sampleCommands()[:len(messages.CommandNames())] {
		bodies = append(bodies, c.Body)
	}
	for _, e := range sampleEvents() {
		bodies = append(bodies, e.Data)
	}
	for _, body := range bodies {
		v := reflect.ValueOf(body).Elem()
		for _, field := range zeroFields(v, v.Type().Name()) {
			t.Errorf("the sample does not set %s", field)
		}
	}
}

func zeroFields(v reflect.Value, path string) (fields []string) {
	for i := range v.NumField() {
		field, name := v.Field(i), path+"."+v.Type().Field(i).Name
		switch {
		case field.IsZero():
			fields = append(fields, name)
		case jsonType(field.Type()) == "object" && pointed(field.Type()).Kind() == reflect.Struct:
			fields = append(fields, zeroFields(reflect.Indirect(field), name)...)
		}
	}
	return fields
}

func readGoldens(t *testing.T) []golden {
	t.Helper()
	paths, err := filepath.Glob(goldenDir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []golden
	for _, path := range paths {
		g := golden{name: strings.TrimSuffix(filepath.Base(path), ".json"), header: make(map[string]string)}
		if g.body, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".headers")
		if err != nil {
			t.Fatal(err)
		}
		subject, rest, _ := strings.Cut(string(text), "\n")
		g.subject = subject
		for line := range strings.Lines(rest) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			g.header[name] = value
		}
		goldens = append(goldens, g)
	}
	return goldens
}

// checkSums fails if a golden file was changed, removed or never pinned.
func checkSums(t *testing.T) {
	t.Helper()
	pinned, err := os.ReadFile(goldenDir + "/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	files := goldenSums(t)
	for line := range strings.Lines(string(pinned)) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		switch {
		case files[file] == "":
			t.Errorf("golden %s was removed", file)
		case files[file] != sum:
			t.Errorf("golden %s was changed: golden messages are append-only", file)
		}
		delete(files, file)
	}
	for file := range files {
		t.Errorf("golden %s is not in SHA256SUMS", file)
	}
}

func goldenSums(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]string)
	for _, entry := range entries {
		if entry.Name() == "SHA256SUMS" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(goldenDir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		sums[entry.Name()] = hex.EncodeToString(sum[:])
	}
	return sums
}

func appendGoldens(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(goldenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	origin := messages.Origin{Source: "/shop", Time: sampleTime()}
	for i, c := range sampleCommands() {
		name := commandSchema(c.Name())
		if i >= len(messages.CommandNames()) {
			name += "+least"
		}
		appendGolden(t, encodeCommand(t, name, c, origin))
	}
	for _, e := range sampleEvents() {
		appendGolden(t, encodeEvent(t, e))
	}
	chained := encodeEvent(t, chainedEvent())
	chained.name += "+chained"
	appendGolden(t, chained)
	appendGolden(t, encodeCheckpoint(sampleCheckpoint()))
	pinSums(t)
}

// pinSums adds a line for every golden file that has none. What is pinned stays as it is.
func pinSums(t *testing.T) {
	t.Helper()
	const path = goldenDir + "/SHA256SUMS"
	pinned, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	lines := string(pinned)
	sums := goldenSums(t)
	for _, file := range slices.Sorted(maps.Keys(sums)) {
		if !strings.Contains(lines, "  "+file+"\n") {
			lines += sums[file] + "  " + file + "\n"
		}
	}
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
}

func appendGolden(t *testing.T, g golden) {
	t.Helper()
	path := filepath.Join(goldenDir, g.name)
	if _, err := os.Stat(path + ".json"); err == nil {
		return
	}
	text := g.subject + "\n"
	for _, name := range slices.Sorted(maps.Keys(g.header)) {
		text += name + ": " + g.header[name] + "\n"
	}
	for file, content := range map[string][]byte{path + ".json": g.body, path + ".headers": []byte(text)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
