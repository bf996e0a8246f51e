package protocol

import (
	"bytes"
	_ "embed" // for openapi.yaml
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the description of the protocol over HTTP, an OpenAPI 3.1 document in YAML. The
// caller may keep it.
func OpenAPI() []byte { return bytes.Clone(openAPI) }
