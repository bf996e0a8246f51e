package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// documentURL names the OpenAPI document inside the compiler of its schemas.
const documentURL = "https://tender.invalid/openapi.json"

// described holds what a server says against the OpenAPI document. It may be used concurrently.
type described struct {
	event *jsonschema.Schema
	// replies are the schemas of the bodies, by endpoint and status.
	replies map[endpoint]map[int]*jsonschema.Schema

	mu    sync.Mutex
	fault string // the first
}

// endpoint is a method and a path of the document.
type endpoint struct{ method, path string }

// endpointOf returns where an operation is made or looked up.
func endpointOf(lookup bool) endpoint {
	if lookup {
		return endpoint{http.MethodGet, protocol.PathOperation + "{operation_id}"}
	}
	return endpoint{http.MethodPost, protocol.PathOperations}
}

// newDescribed reads the document. It fails when that is not what this package was written for.
func newDescribed() (*described, error) {
	d := &described{replies: make(map[endpoint]map[int]*jsonschema.Schema)}
	if err := d.read(); err != nil {
		return nil, fmt.Errorf("read the description of the protocol: %w", err)
	}
	return d, nil
}

func (d *described) read() error {
	var fromYAML map[string]any
	if err := yaml.Unmarshal(protocol.OpenAPI(), &fromYAML); err != nil {
		return err
	}
	text, err := json.Marshal(fromYAML)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // the draft of OpenAPI 3.1
	compiler.AssertFormat()
	if err := compiler.AddResource(documentURL, document); err != nil {
		return err
	}
	if d.event, err = compiler.Compile(documentURL + "#/components/schemas/Event"); err != nil {
		return err
	}
	var paths struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Ref string `json:"$ref"`
			}
		}
	}
	if err := json.Unmarshal(text, &paths); err != nil {
		return err
	}
	for _, at := range []endpoint{endpointOf(false), endpointOf(true)} {
		d.replies[at] = make(map[int]*jsonschema.Schema)
		for status, response := range paths.Paths[at.path][strings.ToLower(at.method)].Responses {
			number, err := strconv.Atoi(status)
			if err != nil {
				return err
			}
			pointer := response.Ref + "/content/application~1json/schema"
			if d.replies[at][number], err = compiler.Compile(documentURL + pointer); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear judges a reply and keeps the first fault.
func (d *described) hear(lookup bool, contentType string, r protocol.Reply) {
	fault := d.faultOf(endpointOf(lookup), contentType, r)
	if fault == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == "" {
		d.fault = fmt.Sprintf("%s, in %d %s", fault, r.Status, protocol.Shown(string(r.Body)))
	}
}

// firstFault returns the first reply that was not as described, with the reason; "" if all were.
func (d *described) firstFault() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

func (d *described) faultOf(at endpoint, contentType string, r protocol.Reply) string {
	schema := d.replies[at][r.Status]
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case schema == nil:
		return fmt.Sprintf("%s %s has no such answer", at.method, at.path)
	case err != nil || kind != "application/json":
		return fmt.Sprintf("the Content-Type is %q, not application/json", protocol.Shown(contentType))
	}
	return faultIn(schema, r.Body)
}

// faultIn returns the reason why a body does not fit a schema; "" if it does.
func faultIn(schema *jsonschema.Schema, body []byte) string {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return "the body is not JSON"
	}
	if err := schema.Validate(value); err != nil {
		// The first line names the schema only.
		_, reasons, _ := strings.Cut(err.Error(), "\n")
		return protocol.Shown(strings.Join(strings.Fields(reasons), " "))
	}
	return ""
}
