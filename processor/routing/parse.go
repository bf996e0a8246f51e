package routing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// FormatVersion is the version of the document that this build reads.
	FormatVersion = 1
	// SizeMax is the size of a document in bytes at most.
	SizeMax = 128 << 10

	rulesMax      = 500
	gatewaysMax   = 32
	weightMax     = 1_000_000
	nameLengthMax = 64
)

// Parse reads a rule set that may name these gateways, with failover among gateways that share
// their tokens only. It takes all of it or nothing: with any mistake it returns a *RefusedError
// that lists them all.
func Parse(document []byte, gateways Gateways) (*Rules, error) {
	if len(document) > SizeMax {
		return nil, &RefusedError{Mistakes: []Mistake{{Problem: fmt.Sprintf("the document is larger than %d bytes", SizeMax)}}}
	}
	root, err := readDocument(document)
	if err != nil {
		return nil, err
	}
	p := &parser{gateways: gateways, lines: map[string]int{}}
	set := &Rules{rules: p.document(root)}
	p.reachable(set.rules)
	if err := p.err(); err != nil {
		return nil, err
	}
	for i := range set.rules {
		set.rules[i].prepare(gateways)
	}
	set.warn(gateways)
	return set, nil
}

// readDocument returns the root of the one document there must be.
func readDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, &RefusedError{Mistakes: []Mistake{{Problem: "the document is empty"}}}
	} else if err != nil {
		return nil, notYAML(err)
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &RefusedError{Mistakes: []Mistake{{Line: second.Line, Column: second.Column, Problem: "a second document begins here: there may be one"}}}
	case !errors.Is(err, io.EOF):
		return nil, notYAML(err)
	}
	return document.Content[0], nil
}

// parser reads a document node by node, and notes every mistake.
type parser struct {
	mistakes
	gateways Gateways
	// lines are those of the rules, by name.
	lines map[string]int
}

func (p *parser) document(root *yaml.Node) []Rule {
	var rules []Rule
	seen := p.fields(root, "the rule set", map[string]func(*yaml.Node){
		"version": func(n *yaml.Node) {
			if v, ok := p.whole(n, "version"); ok && v != FormatVersion {
				p.at(n, "version is %d; this build reads version %d", v, FormatVersion)
			}
		},
		"rules": func(n *yaml.Node) {
			items := p.list(n, "rules")
			if len(items) > rulesMax {
				p.at(n, "there are %d rules, more than %d", len(items), rulesMax)
				return
			}
			for _, item := range items {
				rules = append(rules, p.rule(item))
			}
		},
	})
	p.require(root, "the rule set", seen, "version", "rules")
	return rules
}

func (p *parser) rule(node *yaml.Node) Rule {
	r, clean := Rule{Line: node.Line}, len(p.found)
	seen := p.fields(node, "a rule", map[string]func(*yaml.Node){
		"name":     func(n *yaml.Node) { r.Name = p.name(n) },
		"match":    func(n *yaml.Node) { r.Match = p.match(n) },
		"to":       func(n *yaml.Node) { r.To = p.targets(n) },
		"failover": func(n *yaml.Node) { r.Failover = p.failover(n) },
	})
	p.require(node, "a rule", seen, "name", "to")
	if len(p.found) == clean {
		p.checkFailover(&r)
	}
	return r
}

// name is recorded with every payment that the rule routes, so it is short and plain, and says
// which rule it was.
func (p *parser) name(n *yaml.Node) string {
	name, ok := p.text(n, "name")
	switch {
	case !ok:
		return ""
	case len(name) > nameLengthMax || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
		p.at(n, "a name is of letters, digits, - _ and ., at most %d: %q is not", nameLengthMax, shortened(name))
	case p.lines[name] != 0:
		p.at(n, "rule %s is there already, in line %d", name, p.lines[name])
	default:
		p.lines[name] = n.Line
	}
	return name
}

func (p *parser) targets(node *yaml.Node) []Target {
	var targets []Target
	var total int64
	items := p.list(node, "to")
	if len(items) > gatewaysMax {
		p.at(node, "there are %d gateways, more than %d", len(items), gatewaysMax)
		return nil
	}
	clean := len(p.found)
	for _, item := range items {
		t := Target{Weight: 1}
		seen := p.fields(item, "a gateway of a rule", map[string]func(*yaml.Node){
			"gateway": func(n *yaml.Node) { t.Gateway = p.gateway(n, targets) },
			"weight":  func(n *yaml.Node) { t.Weight = p.weight(n) },
		})
		p.require(item, "a gateway of a rule", seen, "gateway")
		if len(items) > 1 {
			p.require(item, "a gateway beside others", seen, "weight")
		}
		targets, total = append(targets, t), total+t.Weight
	}
	if len(p.found) == clean && len(targets) > 0 && total == 0 {
		p.at(node, "all weights are 0: no gateway would get a payment")
	}
	return targets
}

func (p *parser) weight(n *yaml.Node) int64 {
	w, ok := p.whole(n, "weight")
	if ok && (w < 0 || w > weightMax) {
		p.at(n, "a weight is from 0 to %d, not %d", weightMax, w)
		return 0
	}
	return w
}

// gateway reads the name of one that is configured and not among the others yet.
func (p *parser) gateway(n *yaml.Node, others []Target) string {
	name, ok := p.text(n, "gateway")
	_, known := p.gateways[name]
	switch {
	case !ok:
	case !known:
		p.at(n, "no gateway is named %q, only %s", shortened(name), strings.Join(p.gateways.Names(), ", "))
	case slices.ContainsFunc(others, func(t Target) bool { return t.Gateway == name }):
		p.at(n, "gateway %s is named twice", name)
	}
	return name
}

func (p *parser) failover(node *yaml.Node) Failover {
	var f Failover
	p.fields(node, "failover", map[string]func(*yaml.Node){
		"to": func(n *yaml.Node) {
			if n.Kind != yaml.SequenceNode {
				p.at(n, "to must be a list of gateways, [] for none, not %s", kindOf(n))
				return
			}
			var named []Target
			f.To = []string{}
			for _, item := range n.Content {
				name := p.gateway(item, named)
				named, f.To = append(named, Target{Gateway: name}), append(f.To, name)
			}
		},
		"on_decline": func(n *yaml.Node) { f.OnDecline = p.yes(n, "on_decline") },
	})
	if len(node.Content) == 0 && node.Kind == yaml.MappingNode {
		p.at(node, "failover says nothing: leave it out for the default")
	}
	return f
}

// reachable refuses rules that can never match, since an earlier one takes all of their payments.
func (p *parser) reachable(rules []Rule) {
	for i := range rules {
		for j := range i {
			if len(p.found) == 0 && rules[j].Match.covers(&rules[i].Match) {
				p.found = append(p.found, Mistake{Line: rules[i].Line, Problem: fmt.Sprintf(
					"rule %s can never match: rule %s in line %d takes all of its payments", rules[i].Name, rules[j].Name, rules[j].Line)})
				break
			}
		}
	}
}

// warn notes rules that are allowed and probably not meant.
func (s *Rules) warn(gateways Gateways) {
	for i := range s.rules {
		if warning := gateways.mixed(&s.rules[i]); warning != "" {
			s.warnings = append(s.warnings, warning)
		}
	}
	if last := s.rules[len(s.rules)-1]; len(last.Match.Conditions()) > 0 {
		s.warnings = append(s.warnings,
			"the last rule has conditions: payments that no rule matches fail with no_gateway. End with a rule without a match to take the rest")
	}
}
