package messages_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/seed-384b1f8a/tender/messages"
)

func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	var document map[string]any
	if err := yaml.Unmarshal(messages.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// at follows a path of keys.
func at(t *testing.T, node any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		members, ok := node.(map[string]any)
		if !ok || members[key] == nil {
			t.Fatalf("asyncapi.yaml has no %s", strings.Join(keys, "/"))
		}
		node = members[key]
	}
	return node
}

func TestAsyncAPIReferencesResolve(t *testing.T) {
	t.Parallel()
	document := asyncAPI(t)
	if document["asyncapi"] != "3.0.0" {
		t.Errorf("version %v", document["asyncapi"])
	}
	references := 0
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if reference, ok := n["$ref"].(string); ok {
				references++
				resolve(t, document, reference)
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(document)
	if references == 0 {
		t.Error("no references found")
	}
}

func resolve(t *testing.T, document map[string]any, reference string) any {
	t.Helper()
	if local, ok := strings.CutPrefix(reference, "#/"); ok {
		return at(t, document, strings.Split(local, "/")...)
	}
	schema, err := messages.Schema(strings.TrimSuffix(path.Base(reference), ".json"))
	if err != nil || !strings.HasPrefix(reference, "./schemas/") {
		t.Errorf("reference %s: %v", reference, err)
	}
	return schema
}

// TestAsyncAPIDescribesEveryMessage holds the channels against the subjects and the messages
// against the types.
func TestAsyncAPIDescribesEveryMessage(t *testing.T) {
	t.Parallel()
	document := asyncAPI(t)
	id := uuid.MustParse(paymentIDText)

	want := map[string]string{}
	address := at(t, document, "channels", "commands", "address").(string)
	verbs := at(t, document, "channels", "commands", "parameters", "command", "enum").([]any)
	for _, name := range messages.CommandNames() {
		want["tender.command."+string(name)+".v1"] = "./schemas/" + commandSchema(name) + ".json"
		subject, err := messages.CommandSubject("acme", name, id)
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.NewReplacer("{tenant}", "acme", "{command}", string(name), "{payment_id}", paymentIDText).Replace(address)
		if filled != subject || !slices.Contains(verbs, any(string(name))) {
			t.Errorf("%s: the channel says %s (of %v), the code %s", name, filled, verbs, subject)
		}
	}
	checkChannel(t, document, "commands", want)

	want = map[string]string{}
	address = at(t, document, "channels", "events", "address").(string)
	objects := at(t, document, "channels", "events", "parameters", "object", "enum").([]any)
	for _, e := range sampleEvents() {
		if !e.Type().Published() {
			continue
		}
		want["tender."+string(e.Type())+".v1"] = "./schemas/" + eventSchema(e.Type()) + ".json"
		object, event, _ := strings.Cut(string(e.Type()), ".")
		filled := strings.NewReplacer("{tenant}", "acme", "{object}", object, "{event}", event, "{payment_id}", paymentIDText).Replace(address)
		if filled != messages.EventSubject(e) || !slices.Contains(objects, any(object)) {
			t.Errorf("%s: the channel says %s (of %v), the code %s", e.Type(), filled, objects, messages.EventSubject(e))
		}
	}
	checkChannel(t, document, "events", want)

	address = at(t, document, "channels", "dead_letters", "address").(string)
	filled := strings.NewReplacer("{tenant}", "acme", "{command}", "create", "{payment_id}", paymentIDText).Replace(address)
	if dead := messages.DeadLetterSubject(subjectOf(messages.CommandCreate)); filled != dead {
		t.Errorf("dead letters: the channel says %s, the code %s", filled, dead)
	}

	header, _ := messages.EncodeCheckpoint(sampleCheckpoint())
	checkChannel(t, document, "audit", map[string]string{header[messages.HeaderCEType]: "./schemas/audit.checkpoint.json"})
	if address := at(t, document, "channels", "audit", "address"); address != messages.SubjectCheckpoint {
		t.Errorf("checkpoints: the channel says %s, the code %s", address, messages.SubjectCheckpoint)
	}
}

// checkChannel compares a channel's messages, by their CloudEvents type, with the schemas they must
// have.
func checkChannel(t *testing.T, document map[string]any, channel string, want map[string]string) {
	t.Helper()
	for _, reference := range at(t, document, "channels", channel, "messages").(map[string]any) {
		message := resolve(t, document, at(t, reference, "$ref").(string))
		name := at(t, message, "name").(string)
		if schema := at(t, message, "payload", "schema", "$ref"); schema != want[name] {
			t.Errorf("channel %s: message %s has the schema %v, want %s", channel, name, schema, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("channel %s doesn't describe %s", channel, name)
	}
}

func TestAsyncAPITypesAreThoseOnTheBus(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, message := range at(t, asyncAPI(t), "components", "messages").(map[string]any) {
		names[at(t, message, "name").(string)] = true
	}
	for _, c := range sampleCommands() {
		if ceType := encodeCommand(t, "", c, messages.Origin{}).header[messages.HeaderCEType]; !names[ceType] {
			t.Errorf("%s is not described", ceType)
		}
	}
	for _, e := range sampleEvents() {
		if ceType := encodeEvent(t, e).header[messages.HeaderCEType]; names[ceType] != e.Type().Published() {
			t.Errorf("%s: described %v, published %v", ceType, names[ceType], e.Type().Published())
		}
	}
}
