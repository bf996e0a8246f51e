package config

import (
	"bytes"
	_ "embed" // the example file
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed tender.example.yaml
var example string

// Example is the annotated configuration file: every key at its default.
func Example() string { return example }

// PrintOptions select the text beside the values.
type PrintOptions struct {
	Docs    bool // above each key, what it means
	Origins bool // behind each value, where it came from
}

// Print writes c as YAML in the form of the file. Secrets are not in it (see [Secret] and [URL]),
// so the output is for reading: it loads again only where there are none. The error is that of w.
func Print(w io.Writer, c Config, o PrintOptions) error {
	root := document(c, o)
	for i := 0; i < len(root.Content); i += 2 {
		part := yaml.Node{Kind: yaml.MappingNode, Content: root.Content[i : i+2]}
		var out bytes.Buffer
		if i > 0 && o.Docs {
			out.WriteByte('\n')
		}
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := encoder.Encode(&part); err != nil {
			return fmt.Errorf("encode configuration: %w", err)
		}
		if _, err := w.Write(out.Bytes()); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	return nil
}

// document builds the sections out of the dotted keys.
func document(c Config, o PrintOptions) *yaml.Node {
	docs := map[string]string{}
	if o.Docs {
		for _, s := range sections() {
			docs[s.key] = s.doc
		}
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range c.settings() {
		if o.Docs {
			docs[s.key] = s.doc
		}
		leaf := node(s.value.get())
		if o.Origins {
			leaf.LineComment = c.Origin(s.key).String()
		}
		place(root, s.key, leaf, docs)
	}
	return root
}

// place puts a leaf where its key says, making the sections on the way.
func place(root *yaml.Node, key string, leaf *yaml.Node, docs map[string]string) {
	parent, done := root, 0
	for {
		end := strings.IndexByte(key[done:], '.')
		if end < 0 {
			parent.Content = append(parent.Content, name(key, docs), leaf)
			return
		}
		parent = child(parent, key[:done+end], docs)
		done += end + 1
	}
}

// child is the section at a path, which is the last one of its parent or a new one, as settings
// come in order.
func child(parent *yaml.Node, path string, docs map[string]string) *yaml.Node {
	title := name(path, docs)
	for i := 0; i < len(parent.Content); i += 2 {
		if parent.Content[i].Value == title.Value {
			return parent.Content[i+1]
		}
	}
	section := &yaml.Node{Kind: yaml.MappingNode}
	parent.Content = append(parent.Content, title, section)
	return section
}

func name(path string, docs map[string]string) *yaml.Node {
	n := node(path[strings.LastIndexByte(path, '.')+1:])
	n.HeadComment = wrap(docs[path])
	return n
}

// node makes a scalar, or a list in one line. The library chooses the quotes.
func node(v any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // strings, numbers and lists of strings always encode
	}
	if n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	}
	return n
}

// wrap breaks a comment into lines.
func wrap(text string) string {
	const width = 100
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(slices.Concat(lines, []string{line}), "\n")
}
