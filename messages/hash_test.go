package messages_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
)

// printf 'tp\n{"a":1}' | sha256sum
func ExampleEventHash() {
	fmt.Println(messages.EventHash("tp", []byte(`{"a":1}`)))
	// Output: 540b04a7336c87137147729cb655fa079492121ad81822b141d2af5f4b0650d5
}

func TestHashHasOneText(t *testing.T) {
	t.Parallel()
	h := messages.EventHash("", nil)
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var again messages.Hash
	if err := json.Unmarshal(text, &again); err != nil || again != h || h.IsZero() {
		t.Errorf("%s became %s, %v", text, again, err)
	}
	for _, bad := range []string{
		strings.ToUpper(h.String()), h.String()[1:], h.String() + "0", "g" + h.String()[1:], " " + h.String(),
	} {
		if err := again.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a hash", bad)
		}
	}
	if err := again.UnmarshalText(nil); err != nil || !again.IsZero() || again.String() != "" {
		t.Errorf("no text became %q, %v; want no hash", again, err)
	}
}

// The hash of an event covers its link, so that the last hash covers the whole history.
func TestEventHashCoversTheLink(t *testing.T) {
	t.Parallel()
	chained, alone := chainedEvent(), chainedEvent()
	alone.PreviousHash = messages.Hash{}
	a, b := encodeEvent(t, chained), encodeEvent(t, alone)
	if messages.EventHash(chained.Traceparent, a.body) == messages.EventHash(alone.Traceparent, b.body) {
		t.Error("an event has the same hash with and without a link")
	}
	if messages.EventHash("", a.body) == messages.EventHash(chained.Traceparent, a.body) {
		t.Error("an event has the same hash with and without a traceparent")
	}
}

func TestCheckpointSurvivesTheBus(t *testing.T) {
	t.Parallel()
	for _, c := range []messages.Checkpoint{
		sampleCheckpoint(), {Number: 1, ToPosition: 1, Events: 1, Payments: 1, CreatedAt: sampleTime()},
	} {
		header, body := messages.EncodeCheckpoint(c)
		got, err := messages.DecodeCheckpoint(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" || got.Hash() != c.Hash() {
			t.Errorf("-sent +received:\n%s", diff)
		}
		if header[messages.HeaderCEID] != messages.CheckpointMessageID(c) {
			t.Errorf("ce-id is %s", header[messages.HeaderCEID])
		}
	}
}

func TestCheckpointThatCannotBeHashedIsRefused(t *testing.T) {
	t.Parallel()
	body := string(sampleCheckpoint().Body())
	for _, bad := range []string{
		"", "{}", "[]", body + " ", strings.Replace(body, `"number":2`, `"number":0`, 1),
		strings.Replace(body, `"number"`, `"Number"`, 1), strings.Replace(body, "{", `{"more":1,`, 1),
	} {
		if c, err := messages.DecodeCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%s was taken for %+v", bad, c)
		}
	}
}
