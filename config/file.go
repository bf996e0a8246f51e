package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// depthMax is how deep a file may nest; the deepest key has four levels.
const depthMax = 8

// layer is the content of the file: its values, and the lines where its keys stand.
type layer struct {
	values map[string]any // nested as in the file
	path   string
	lines  map[string]int
}

// readLayer reads the file at path; no path is an empty layer. A mistake that makes the file
// unreadable as a whole is returned as it is; keys given in a way that YAML allows and this package
// does not are returned as KeyErrors.
func readLayer(path string) (layer, error) {
	l := layer{path: path, lines: map[string]int{}}
	if path == "" {
		return l, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return l, fmt.Errorf("read configuration: %w", err)
	}
	if err := l.outline(raw); err != nil {
		return l, err
	}
	if err := yaml.Unmarshal(raw, &l.values); err != nil {
		return l, l.unreadable(err)
	}
	return l, nil
}

// flat returns the values by dotted key. A list is a value, and so is an empty section.
func (l layer) flat() map[string]any {
	values := make(map[string]any)
	flatten(values, "", l.values)
	return values
}

func flatten(into map[string]any, above string, section map[string]any) {
	for name, value := range section {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			flatten(into, above+name+".", inner)
			continue
		}
		into[above+name] = value
	}
}

// outline walks the file as written, for facts that a map loses: the lines, keys given twice, and
// keys with dots.
func (l layer) outline(raw []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return l.unreadable(err)
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return fmt.Errorf("configuration %s: holds more than one YAML document", l.path)
	} else if !errors.Is(err, io.EOF) {
		return l.unreadable(err)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode && root.ShortTag() != "!!null" {
		return fmt.Errorf("configuration %s: must be sections with keys, not %s", l.path, nodeKind(root))
	}
	found := findings{}
	l.walk(root, nil, &found)
	return found.err()
}

// walk notes the lines of a mapping and of those inside it. It does not follow aliases: their
// content is walked where it is written.
func (l layer) walk(node *yaml.Node, above []string, found *findings) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, child := node.Content[i], node.Content[i+1]
		if name.ShortTag() == "!!merge" {
			continue
		}
		path := append(above[:len(above):len(above)], name.Value)
		key := strings.Join(path, ".")
		from := l.originAt(name.Line)
		switch line, twice := l.lines[key]; {
		case name.Kind != yaml.ScalarNode || name.ShortTag() != "!!str":
			found.addFrom(from, key, "must be a plain name: put it in quotes if it is meant as one")
		case strings.Contains(name.Value, "."):
			found.addFrom(from, key, "must be nested, one section inside the other, not written with dots")
		case twice:
			found.addFrom(from, key, "is given twice, first in line %d", line)
		case len(path) > depthMax:
			found.addFrom(from, key, "is nested too deeply")
		default:
			l.lines[key] = name.Line
			l.walk(child, path, found)
		}
	}
}

// origin is the place of a key in the file; without a line where it came in through an alias.
func (l layer) origin(key string) Origin { return l.originAt(l.lines[key]) }

func (l layer) originAt(line int) Origin {
	place := filepath.Base(l.path)
	if line > 0 {
		place += ":" + strconv.Itoa(line)
	}
	return Origin{Layer: LayerFile, Place: place}
}

// lineOf finds the position in an error of the YAML library, which has no other way to tell it.
var lineOf = regexp.MustCompile(`line (\d+)`)

// unreadable says where the file stops being YAML. Of the library's own words only those are kept
// that cannot hold a piece of the file: its messages quote values, and a value may be a secret.
func (l layer) unreadable(err error) error {
	said := err.Error()
	if !strings.ContainsAny(said, "`'\"[{\n") {
		return fmt.Errorf("configuration %s: not readable as YAML: %s", l.path, strings.TrimPrefix(said, "yaml: "))
	}
	if at := lineOf.FindStringSubmatch(said); at != nil {
		return fmt.Errorf("configuration %s: not readable as YAML: line %s", l.path, at[1])
	}
	return fmt.Errorf("configuration %s: not readable as YAML", l.path)
}

func nodeKind(node *yaml.Node) string {
	switch node.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a single value"
	}
}
