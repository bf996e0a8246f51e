package config

import (
	"fmt"
	"strings"
)

// Key describes one key an operator may set.
type Key struct {
	Name    string `json:"name"`             // dotted; gateways.<name>.… for the keys of a gateway
	Env     string `json:"env"`              // the variable that sets it
	Type    string `json:"type"`             // duration, count, bytes, ratio, text, path, URL, secret, a list or a choice
	Default string `json:"default"`          // as it would be written; "" for none
	Doc     string `json:"doc"`              // what it means, with its unit
	Secret  bool   `json:"secret,omitempty"` // never printed
}

// Reference lists every key in the order of the example file. The keys of a gateway are listed
// once, with <name> for its name.
func Reference() []Key {
	c, g := Default(), newGateway()
	settings := bind(&c, map[string]*Gateway{"<name>": &g})
	keys := make([]Key, 0, len(settings))
	for _, s := range settings {
		keys = append(keys, Key{
			Name:    s.key,
			Env:     EnvName(s.key),
			Type:    s.value.kind,
			Default: written(s.value.get()),
			Doc:     s.doc,
			Secret:  s.value.secret,
		})
	}
	return keys
}

// Effective is one key with the value in force.
type Effective struct {
	Key    string `json:"key"`
	Value  any    `json:"value"` // string, int64, float64 or []string; a secret is "redacted", or "" when it is not set
	Origin Origin `json:"origin"`
}

// Effective lists every key of c with its value and where that came from, for programs. Secrets are
// not in it.
func (c Config) Effective() []Effective {
	settings := c.settings()
	all := make([]Effective, 0, len(settings))
	for _, s := range settings {
		all = append(all, Effective{Key: s.key, Value: s.value.get(), Origin: c.Origin(s.key)})
	}
	return all
}

// Origin says where the value of a key came from. A field changed after [Load] keeps the origin it
// had.
func (c Config) Origin(key string) Origin {
	if from, set := c.origins[key]; set {
		return from
	}
	return Origin{Layer: LayerDefault}
}

// settings binds a copy of c, for reading.
func (c Config) settings() []setting {
	gateways := make(map[string]*Gateway, len(c.Gateways))
	for name, g := range c.Gateways {
		gateways[name] = &g
	}
	return bind(&c, gateways)
}

// written is how a value stands in a variable.
func written(v any) string {
	if all, ok := v.([]string); ok {
		return strings.Join(all, ",")
	}
	return fmt.Sprint(v)
}
