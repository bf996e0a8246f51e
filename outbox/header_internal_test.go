package outbox

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The stored form is that of encoding/json, and comes back as it was.
func TestStoredHeaderIsJSON(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.StringMatching(`[A-Za-z-]{1,12}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.MapOfN(texts, texts, 0, 10).Draw(t, "header")
		stored := appendHeader([]byte("before"), header)[len("before"):]
		var decoded map[string]string
		if err := json.Unmarshal(stored, &decoded); err != nil {
			t.Fatalf("%s is not JSON: %v", stored, err)
		}
		parsed, err := parseHeader(stored)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decoded, parsed); diff != "" {
			t.Errorf("%s (-encoding/json +own):\n%s", stored, diff)
		}
	})
}

func TestParseHeaderTakesAnyJSONObjectOfStrings(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]map[string]string{
		`{}`:                       {},
		`{"a":"b"}`:                {"a": "b"},
		` { "a" : "b" , "c":"d" }`: {"a": "b", "c": "d"},
		`{"a":"\u0062\n"}`:         {"a": "b\n"},
		`{"a":"x","a":"y"}`:        {"a": "y"},
	} {
		got, err := parseHeader([]byte(stored))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", stored, err, diff)
		}
	}
	for _, stored := range []string{`{"a":1}`, `[]`, `{"a":"b",}`, `{"a":"b"`, `{"a"}`, `"a"`, ``, `{`, `{"a":"b""c":"d"}`} {
		if got, err := parseHeader([]byte(stored)); err == nil {
			t.Errorf("%s was read as %v", stored, got)
		}
	}
}
