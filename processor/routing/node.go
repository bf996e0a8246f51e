package routing

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// fields reads a mapping whose keys are known, each given once, and returns the keys that were
// there.
func (p *parser) fields(node *yaml.Node, what string, read map[string]func(*yaml.Node)) map[string]bool {
	seen := map[string]bool{}
	if node.Kind != yaml.MappingNode {
		p.at(node, "%s must be keys with values (%s), not %s", what, strings.Join(slices.Sorted(maps.Keys(read)), ", "), kindOf(node))
		return seen
	}
	p.pairs(node, func(key, value *yaml.Node) {
		take, known := read[key.Value]
		if !known || key.Kind != yaml.ScalarNode {
			p.at(key, "%s has no %s, only %s", what, quoted(key.Value), strings.Join(slices.Sorted(maps.Keys(read)), ", "))
			return
		}
		seen[key.Value] = true
		take(value)
	})
	return seen
}

// pairs visits the keys and values of a mapping. Aliases are refused: a rule reads without looking
// elsewhere.
func (p *parser) pairs(node *yaml.Node, visit func(key, value *yaml.Node)) {
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if line, twice := lines[key.Value]; twice && key.Kind == yaml.ScalarNode {
			p.at(key, "%s is given twice, first in line %d", quoted(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		visit(key, value)
	}
}

func (p *parser) require(node *yaml.Node, what string, seen map[string]bool, keys ...string) {
	if node.Kind != yaml.MappingNode {
		return // said already
	}
	for _, key := range keys {
		if !seen[key] {
			p.at(node, "%s needs a %s", what, key)
		}
	}
}

// list returns the items of a list that must hold at least one.
func (p *parser) list(n *yaml.Node, key string) []*yaml.Node {
	switch {
	case n.Kind != yaml.SequenceNode:
		p.at(n, "%s must be a list, not %s", key, kindOf(n))
		return nil
	case len(n.Content) == 0:
		p.at(n, "%s must not be empty", key)
	}
	return n.Content
}

// text reads a text that is not empty. Numbers and the like are not taken for one: YAML may read
// them differently than they are written.
func (p *parser) text(n *yaml.Node, key string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		p.at(n, "%s must be a text, not %s", key, kindOf(n))
	case n.ShortTag() != "!!str":
		p.at(n, "%s must be a text: put %s in quotes", key, shortened(n.Value))
	case n.Value == "":
		p.at(n, "%s must not be empty", key)
	case len(n.Value) > valueLengthMax:
		p.at(n, "%s is longer than %d characters", key, valueLengthMax)
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		p.at(n, "%s holds control characters", key)
	default:
		return n.Value, true
	}
	return "", false
}

// whole reads a whole number in decimal digits.
func (p *parser) whole(n *yaml.Node, key string) (int64, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		if v, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return v, true
		}
	}
	p.at(n, "%s must be a whole number, not %s", key, kindOf(n))
	return 0, false
}

func (p *parser) yes(n *yaml.Node, key string) bool {
	var v bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&v) != nil {
		p.at(n, "%s must be true or false, not %s", key, kindOf(n))
	}
	return v
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.AliasNode:
		return "an alias (write it out)"
	case n.ShortTag() == "!!null":
		return "nothing"
	default:
		return quoted(n.Value)
	}
}

func quoted(s string) string { return strconv.Quote(shortened(s)) }

// shortened keeps a text from filling a screen.
func shortened(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
