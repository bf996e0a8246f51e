package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

const documentURL = "https://tender.invalid/openapi.json"

// description is openapi.yaml as JSON values, with a compiler for the schemas in it.
type description struct {
	root     map[string]any
	mu       sync.Mutex
	compiler *jsonschema.Compiler
}

func describe(t *testing.T) *description {
	t.Helper()
	var fromYAML any
	if err := yaml.Unmarshal(protocol.OpenAPI(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &description{root: document.(map[string]any), compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020) // the draft of OpenAPI 3.1
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, document); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows keys through the document and through its references.
func (d *description) at(t testing.TB, keys ...string) any {
	t.Helper()
	var node any = d.root
	for i, key := range keys {
		object, ok := node.(map[string]any)
		if !ok || object[key] == nil {
			t.Fatalf("openapi.yaml has no %s", strings.Join(keys[:i+1], " > "))
		}
		node = object[key]
		if next, ok := node.(map[string]any); ok && next["$ref"] != nil {
			node = d.at(t, strings.Split(strings.TrimPrefix(next["$ref"].(string), "#/"), "/")...)
		}
	}
	return node
}

func (d *description) keys(t testing.TB, keys ...string) []string {
	t.Helper()
	var names []string
	for name := range d.at(t, keys...).(map[string]any) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// schema compiles the schema at a JSON pointer.
func (d *description) schema(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(documentURL + "#" + pointer)
	if err != nil {
		t.Fatalf("compile %s: %v", pointer, err)
	}
	return schema
}

func (d *description) check(t testing.TB, pointer string, body []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if err := d.schema(t, pointer).Validate(value); err != nil {
		return fmt.Errorf("against %s: %w", pointer, err)
	}
	return nil
}

// responseOf is the pointer to the schema of one response, "" if the document has no such response.
func (d *description) responseOf(t testing.TB, method, path string, status int) string {
	t.Helper()
	responses := d.at(t, "paths", path, strings.ToLower(method), "responses").(map[string]any)
	response, ok := responses[strconv.Itoa(status)].(map[string]any)
	if !ok || response["$ref"] == nil {
		return ""
	}
	return strings.TrimPrefix(response["$ref"].(string), "#") + "/content/application~1json/schema"
}

// fields are the names of a struct's fields in JSON.
func fields(v any) []string {
	var names []string
	for field := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestOpenAPIDescribesTheTypes(t *testing.T) {
	t.Parallel()
	d := describe(t)
	if version, _ := d.at(t, "openapi").(string); !strings.HasPrefix(version, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", version)
	}
	properties := func(schema ...string) []string {
		return d.keys(t, append(append([]string{"components", "schemas"}, schema...), "properties")...)
	}
	for name, is := range map[string]struct{ described, coded []string }{
		"Operation":     {properties("Operation"), fields(messages.Operation{})},
		"Answer":        {properties("Answer"), fields(protocol.Answer{})},
		"next_action":   {properties("Answer", "properties", "next_action"), fields(messages.NextAction{})},
		"Authorization": {properties("AuthorizationState"), fields(messages.AuthorizationState{})},
		"Event":         {properties("Event"), fields(protocol.Event{})},
		"Problem":       {properties("Problem", "properties", "error"), fields(protocol.Problem{})},
	} {
		if diff := cmp.Diff(is.coded, is.described); diff != "" {
			t.Errorf("%s: the fields differ (-Go +openapi.yaml):\n%s", name, diff)
		}
	}
	if maximum := fmt.Sprint(d.at(t, "components", "schemas", "AmountMinor", "maximum")); maximum != strconv.FormatInt(1<<63-1, 10) {
		t.Errorf("the largest amount is %s, want that of int64", maximum)
	}
}

func TestOpenAPIDescribesTheStatuses(t *testing.T) {
	t.Parallel()
	d := describe(t)
	if diff := cmp.Diff([]string{protocol.PathHealth, protocol.PathOperations, protocol.PathOperation + "{operation_id}"}, d.keys(t, "paths")); diff != "" {
		t.Errorf("the paths differ (-Go +openapi.yaml):\n%s", diff)
	}
	var codes []string
	for _, code := range protocol.Codes() {
		codes = append(codes, string(code))
		status, _ := code.Status()
		body := protocol.EncodeProblem(protocol.Problem{Code: code, Message: "why"})
		described := 0
		for method, path := range map[string]string{http.MethodPost: protocol.PathOperations, http.MethodGet: protocol.PathOperation + "{operation_id}"} {
			pointer := d.responseOf(t, method, path, status)
			if pointer == "" {
				continue
			}
			described++
			if err := d.check(t, pointer, body); err != nil {
				t.Errorf("%s %s with %s: %v", method, path, code, err)
			}
			for _, other := range protocol.Codes() {
				if other != code && d.check(t, pointer, protocol.EncodeProblem(protocol.Problem{Code: other})) == nil {
					t.Errorf("%s %s: status %d may carry %s", method, path, status, other)
				}
			}
		}
		if described == 0 {
			t.Errorf("no response is %d, the status of %s", status, code)
		}
	}
	enum := fmt.Sprint(d.at(t, "components", "schemas", "Problem", "properties", "error", "properties", "code", "enum"))
	if want := fmt.Sprint(codes); enum != want {
		t.Errorf("the codes are %s, want %s", enum, want)
	}
	kinds := fmt.Sprint(d.at(t, "components", "schemas", "Operation", "properties", "kind", "enum"))
	if want := fmt.Sprint(protocol.Endpoints()[:5]); kinds != want {
		t.Errorf("the kinds are %s, want %s", kinds, want)
	}
}

func TestOpenAPIExamplesAreValid(t *testing.T) {
	t.Parallel()
	d := describe(t)
	path := []string{"paths", protocol.PathOperations, "post", "requestBody", "content", "application/json", "examples"}
	for _, name := range d.keys(t, path...) {
		body, err := json.Marshal(d.at(t, append(slices.Clone(path), name, "value")...))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.check(t, "/components/schemas/Operation", body); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
		if _, err := protocol.DecodeOperation(body); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
	}
}

func TestOpenAPIDescribesTheWebhooks(t *testing.T) {
	t.Parallel()
	d := describe(t)
	path := []string{"webhooks", "event", "post", "requestBody", "content", "application/json", "examples"}
	for _, name := range d.keys(t, path...) {
		body, err := json.Marshal(d.at(t, append(slices.Clone(path), name, "value")...))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.check(t, "/components/schemas/Event", body); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
		if _, err := protocol.DecodeEvent(body); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
	}
	var types []protocol.EventType
	for _, name := range d.at(t, "components", "schemas", "Event", "properties", "type", "enum").([]any) {
		types = append(types, protocol.EventType(name.(string)))
	}
	if diff := cmp.Diff(protocol.EventTypes(), types); diff != "" {
		t.Errorf("the types differ (-Go +openapi.yaml):\n%s", diff)
	}
	signature, err := regexp.Compile(d.at(t, "components", "parameters", "Signature", "schema", "pattern").(string))
	if err != nil {
		t.Fatal(err)
	}
	if header := protocol.Sign([]byte("{}"), time.Unix(1_800_000_000, 0), "old", "new"); !signature.MatchString(header) {
		t.Errorf("the signature %s is not as described", header)
	}
}

// exchange is one request to the simulator and its reply.
type exchange struct {
	method, path string
	request      []byte
	status       int
	reply        []byte
}

// recorder keeps every exchange of a handler.
type recorder struct {
	next http.Handler
	mu   sync.Mutex
	seen []exchange
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	reply := httptest.NewRecorder()
	r.next.ServeHTTP(reply, request)
	r.mu.Lock()
	r.seen = append(r.seen, exchange{request.Method, request.URL.Path, body, reply.Code, reply.Body.Bytes()})
	r.mu.Unlock()
	for name, values := range reply.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(reply.Code)
	_, _ = w.Write(reply.Body.Bytes())
}

// TestOpenAPIDescribesWhatIsSaid has the conformance suite talk to the simulator, and holds every
// word of it against the document.
func TestOpenAPIDescribesWhatIsSaid(t *testing.T) {
	t.Parallel()
	d := describe(t)
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	record := &recorder{next: s.Handler("key")}
	server := httptest.NewServer(record)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	target, err := conformance.OverHTTP(server.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	cards := conformance.SimulatorCards()
	cards.Slow = "sim_slow_50"
	report, err := conformance.Run(t.Context(), target, conformance.Options{Cards: cards})
	if err != nil || report.Breaches() > 0 {
		t.Fatalf("the simulator does not conform: %v, %+v", err, report)
	}
	fault := conformance.NewPayment()
	for _, method := range []string{"sim_500_no_charge", "sim_429", "pm_card_visa_chargeDeclinedLostCard"} {
		target.Gateway.Do(t.Context(), fault.Authorize(method, 1999))
	}
	charged := target.Gateway.Do(t.Context(), fault.Charge("pm_card_pendingRefund", 1999))
	fault.Reference = charged.GatewayReference
	target.Gateway.Do(t.Context(), fault.Refund(1999))

	record.mu.Lock()
	defer record.mu.Unlock()
	statuses := make(map[int]int)
	for _, e := range record.seen {
		if e.path == protocol.PathHealth {
			continue
		}
		path := protocol.PathOperations
		if e.method == http.MethodGet {
			path = protocol.PathOperation + "{operation_id}"
		}
		statuses[e.status]++
		pointer := d.responseOf(t, e.method, path, e.status)
		if pointer == "" {
			t.Errorf("%s %s is answered with %d, which the document does not have", e.method, e.path, e.status)
			continue
		}
		if err := d.check(t, pointer, e.reply); err != nil {
			t.Errorf("%s %s is answered with %d and %s: %v", e.method, e.path, e.status, e.reply, err)
		}
		if e.method == http.MethodGet || e.status == http.StatusUnauthorized {
			continue
		}
		if valid := d.check(t, "/components/schemas/Operation", e.request) == nil; valid == (e.status == http.StatusBadRequest) && !refusedForItsValue(e) {
			t.Errorf("%s is answered with %d, and by the document it is valid: %t", e.request, e.status, valid)
		}
	}
	for _, status := range []int{200, 202, 400, 401, 402, 404, 409, 422, 429, 500} {
		if statuses[status] == 0 {
			t.Errorf("nothing was answered with %d: %v", status, statuses)
		}
	}
}

// refusedForItsValue reports whether a request is well formed by its schema but names a payment
// method that the simulator does not have, or another currency, has a field twice, or is not sent
// as JSON.
func refusedForItsValue(e exchange) bool {
	text := string(e.reply)
	return e.status == http.StatusBadRequest && (strings.Contains(text, "payment method") || strings.Contains(text, "currency is") ||
		strings.Contains(text, "is given twice") || strings.Contains(text, "Content-Type"))
}
