package messages_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed-384b1f8a/tender/messages"
)

const schemaBase = "https://github.com/seed-384b1f8a/tender/messages/schemas/"

// schemas compiles all of them; formats are asserted.
func schemas(t testing.TB) map[string]*jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	for _, name := range messages.SchemaNames() {
		if err := compiler.AddResource(schemaBase+name+".json", schemaDocument(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	compiled := make(map[string]*jsonschema.Schema)
	for _, name := range messages.SchemaNames() {
		schema, err := compiler.Compile(schemaBase + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if schema.ID != schemaBase+name+".json" {
			t.Errorf("schema %s has the id %s", name, schema.ID)
		}
		compiled[name] = schema
	}
	return compiled
}

func schemaDocument(t testing.TB, name string) any {
	t.Helper()
	text, err := messages.Schema(name)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func commandSchema(name messages.CommandName) string { return "command." + string(name) }

func eventSchema(t messages.EventType) string { return "event." + string(t) }

func TestEveryMessageHasASchema(t *testing.T) {
	t.Parallel()
	want := []string{"audit.checkpoint", "common", "event"}
	for _, name := range messages.CommandNames() {
		want = append(want, commandSchema(name))
	}
	for _, eventType := range messages.EventTypes() {
		want = append(want, eventSchema(eventType))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, messages.SchemaNames()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := messages.Schema("command.captrue"); err == nil {
		t.Error("a schema that is not there was found")
	}
}

// property is what a schema and a struct must agree on.
type property struct {
	Type     string
	Required bool
}

func TestSchemasMatchTheStructs(t *testing.T) {
	t.Parallel()
	compiled := schemas(t)
	for _, c := range sampleCommands()[:len(messages.CommandNames())] {
		name := commandSchema(c.Name())
		got := schemaProperties(compiled[name])
		if diff := cmp.Diff(structProperties(reflect.TypeOf(c.Body).Elem()), got); diff != "" {
			t.Errorf("%s: -struct +schema:\n%s", name, diff)
		}
		if compiled[name].AdditionalProperties != false {
			t.Errorf("%s lets unknown fields through", name)
		}
	}
	for _, e := range sampleEvents() {
		name := eventSchema(e.Type())
		want := structProperties(reflect.TypeOf(e.Data).Elem())
		for meta, kind := range map[string]string{
			"payment_id": "string", "tenant": "string", "version": "integer", "type": "string", "status": "string",
			"occurred_at": "string", "correlation_id": "string", "causation_id": "string",
		} {
			if _, taken := want[meta]; taken {
				t.Errorf("%s has a field that every event has: %s", name, meta)
			}
			want[meta] = property{Type: kind, Required: true}
		}
		want["previous_hash"] = property{Type: "string"}
		got := schemaProperties(compiled["event"])
		for field, p := range schemaProperties(compiled[name]) {
			if field != "type" {
				got[field] = p
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -struct +schema:\n%s", name, diff)
		}
	}
}

func structProperties(structType reflect.Type) map[string]property {
	properties := make(map[string]property)
	for i := range structType.NumField() {
		field := structType.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			maps.Copy(properties, structProperties(field.Type))
			continue
		case name != "-":
			properties[name] = property{Type: jsonType(field.Type), Required: options == ""}
		}
		if nested := pointed(field.Type); nested.Kind() == reflect.Struct && jsonType(nested) == "object" {
			for inner, p := range structProperties(nested) {
				properties[name+"."+inner] = p
			}
		}
	}
	return properties
}

// pointed returns the type behind a pointer, else the type itself.
func pointed(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func jsonType(t reflect.Type) string {
	t = pointed(t)
	switch {
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[uuid.UUID](), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "integer"
	default:
		return "object"
	}
}

func schemaProperties(schema *jsonschema.Schema) map[string]property {
	properties := make(map[string]property)
	for name, s := range schema.Properties {
		properties[name] = property{Type: schemaType(s), Required: slices.Contains(schema.Required, name)}
		if s.Ref != nil {
			s = s.Ref
		}
		for inner, p := range schemaProperties(s) {
			properties[name+"."+inner] = p
		}
	}
	return properties
}

// schemaType follows references; an enumeration is of strings here.
func schemaType(s *jsonschema.Schema) string {
	switch {
	case s.Ref != nil:
		return schemaType(s.Ref)
	case s.Types != nil:
		return s.Types.ToStrings()[0]
	default:
		return "string"
	}
}

// TestSchemasListEveryValue compares the enumerations with the constants in the source.
func TestSchemasListEveryValue(t *testing.T) {
	t.Parallel()
	constants := constantsByType(t)
	definitions := schemaDocument(t, "common").(map[string]any)["$defs"].(map[string]any)
	for definition, goType := range map[string]string{
		"capture_method": "CaptureMethod", "refund_reason": "RefundReason", "resolved_outcome": "ResolvedOutcome",
		"status": "Status", "operation_kind": "OperationKind", "outcome_kind": "OutcomeKind", "decline_class": "DeclineClass",
		"recommended_action": "RecommendedAction", "rejection_code": "RejectionCode", "command_name": "CommandName",
		"purpose": "Purpose",
	} {
		if diff := cmp.Diff(constants[goType], enumeration(definitions[definition])); diff != "" || len(constants[goType]) == 0 {
			t.Errorf("%s: -constants +schema:\n%s", definition, diff)
		}
	}
	var names, types []string
	for _, name := range messages.CommandNames() {
		names = append(names, string(name))
	}
	for _, eventType := range messages.EventTypes() {
		types = append(types, string(eventType))
	}
	slices.Sort(names)
	slices.Sort(types)
	if diff := cmp.Diff(constants["CommandName"], names); diff != "" {
		t.Errorf("CommandNames: -constants +returned:\n%s", diff)
	}
	if diff := cmp.Diff(constants["EventType"], types); diff != "" {
		t.Errorf("EventTypes: -constants +returned:\n%s", diff)
	}
}

func enumeration(definition any) []string {
	schema := definition.(map[string]any)
	if either, ok := schema["anyOf"].([]any); ok {
		schema = either[0].(map[string]any)
	}
	var values []string
	for _, value := range schema["enum"].([]any) {
		values = append(values, value.(string))
	}
	slices.Sort(values)
	return values
}

// constantsByType reads the string constants of this package, by the name of their type, sorted.
func constantsByType(t *testing.T) map[string][]string {
	t.Helper()
	constants := make(map[string][]string)
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			goType, ok := spec.Type.(*ast.Ident)
			literal, isLiteral := spec.Values[0].(*ast.BasicLit)
			if !ok || !isLiteral || literal.Kind != token.STRING {
				return true
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			constants[goType.Name] = append(constants[goType.Name], value)
			return true
		})
	}
	for _, values := range constants {
		slices.Sort(values)
	}
	return constants
}

func TestSchemaListsEveryCurrency(t *testing.T) {
	t.Parallel()
	definitions := schemaDocument(t, "common").(map[string]any)["$defs"].(map[string]any)
	var known []string
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			for c := byte('A'); c <= 'Z'; c++ {
				if _, ok := messages.Exponent(string([]byte{a, b, c})); ok {
					known = append(known, string([]byte{a, b, c}))
				}
			}
		}
	}
	if diff := cmp.Diff(known, enumeration(definitions["currency"])); diff != "" {
		t.Errorf("-Exponent +schema:\n%s", diff)
	}
}

// variant is a message with one thing wrong.
type variant struct {
	name string
	body []byte
}

// TestBadVariants changes one thing at a time in every message: neither its schema nor the decoder
// may take the result.
func TestBadVariants(t *testing.T) {
	t.Parallel()
	compiled := schemas(t)
	refused := func(t *testing.T, schema *jsonschema.Schema, v variant, decode func([]byte) error) {
		t.Helper()
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.body))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(document) == nil {
			t.Errorf("%s: the schema takes %s", v.name, v.body)
		}
		if decode(v.body) == nil {
			t.Errorf("%s: the decoder takes %s", v.name, v.body)
		}
	}
	for _, c := range sampleCommands()[:len(messages.CommandNames())] {
		t.Run(commandSchema(c.Name()), func(t *testing.T) {
			t.Parallel()
			schema := compiled[commandSchema(c.Name())]
			for _, v := range commandVariants(t, c, schema) {
				refused(t, schema, v, func(body []byte) error {
					_, err := messages.DecodeCommand(subjectOf(c.Name()), withKey(), body)
					return err
				})
			}
		})
	}
	for _, e := range append(sampleEvents(), chainedEvent()) {
		t.Run(eventSchema(e.Type()), func(t *testing.T) {
			t.Parallel()
			for _, v := range eventVariants(t, e) {
				refused(t, compiled[eventSchema(e.Type())], v, func(body []byte) error {
					_, err := messages.DecodeEventBody(body)
					return err
				})
			}
		})
	}
}

func commandVariants(t *testing.T, c messages.Command, schema *jsonschema.Schema) []variant {
	t.Helper()
	_, _, body, err := messages.EncodeCommand(c, messages.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	variants := []variant{with(t, body, "surprise", "x"), with(t, body, "Reason", "x")}
	for field, s := range schema.Properties {
		variants = append(variants, with(t, body, field, nil), with(t, body, field, []string{"list"}), with(t, body, field, 1.5))
		if slices.Contains(schema.Required, field) {
			variants = append(variants, without(t, body, field))
		}
		switch schemaType(s) {
		case "string":
			variants = append(variants, with(t, body, field, ""), with(t, body, field, strings.Repeat("x", 2001)), with(t, body, field, "\u0007"))
		case "integer":
			variants = append(variants, with(t, body, field, 0), with(t, body, field, -1), with(t, body, field, messages.AmountMinorMax+1),
				with(t, body, field, "1999"))
		case "boolean":
			variants = append(variants, with(t, body, field, "true"))
		case "object":
			variants = append(variants, with(t, body, field, map[string]any{"k": 1}), with(t, body, field, map[string]string{"": "v"}),
				with(t, body, field, map[string]string{"k": strings.Repeat("x", 501)}))
		}
	}
	return variants
}

func eventVariants(t *testing.T, e messages.Event) []variant {
	t.Helper()
	body, err := messages.EncodeEventBody(e)
	if err != nil {
		t.Fatal(err)
	}
	var variants []variant
	for field := range fields(t, body) {
		variants = append(variants, with(t, body, field, []int{1}))
	}
	for _, field := range []string{"payment_id", "tenant", "version", "type", "status", "occurred_at"} {
		variants = append(variants, without(t, body, field))
	}
	return append(variants, with(t, body, "version", 0), with(t, body, "version", "1"), with(t, body, "tenant", "A.B"),
		with(t, body, "payment_id", "order-42"), with(t, body, "occurred_at", "today"),
		with(t, body, "previous_hash", "ABC"))
}

func fields(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func with(t *testing.T, body []byte, field string, value any) variant {
	t.Helper()
	members := fields(t, body)
	members[field] = value
	return marshalVariant(t, field+" changed", members)
}

func without(t *testing.T, body []byte, field string) variant {
	t.Helper()
	members := fields(t, body)
	delete(members, field)
	return marshalVariant(t, field+" missing", members)
}

func marshalVariant(t *testing.T, name string, members map[string]any) variant {
	t.Helper()
	body, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return variant{name: name, body: body}
}
