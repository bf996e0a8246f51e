package messages

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// contract holds the machine-readable form of what this package says.
//
//go:embed schemas/*.json asyncapi.yaml
var contract embed.FS

// SchemaNames returns the names of the JSON Schemas, sorted: "command.<command>" and
// "event.<object>.<event>" for every message, "audit.checkpoint", and "common" and "event", which
// these refer to.
func SchemaNames() []string {
	entries, err := contract.ReadDir("schemas")
	if err != nil {
		panic("messages: the embedded schemas are gone: " + err.Error())
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".json"))
	}
	slices.Sort(names)
	return names
}

// Schema returns one JSON Schema (2020-12). Those of commands are as strict as DecodeCommand, as
// far as a schema can say it; those of events let fields and values of later versions through.
// References between them are relative to their $id.
func Schema(name string) ([]byte, error) {
	schema, err := contract.ReadFile("schemas/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("no schema is named %s: %w", quote(name), err)
	}
	return schema, nil
}

// AsyncAPI returns the AsyncAPI 3.0 document that describes the channels, in YAML. It refers to the
// schemas as ./schemas/<name>.json.
func AsyncAPI() []byte {
	document, err := contract.ReadFile("asyncapi.yaml")
	if err != nil {
		panic("messages: the embedded asyncapi.yaml is gone: " + err.Error())
	}
	return document
}
