package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// Load reads the file at path ("" for none), covers it with the TENDER_ variables among environ
// (entries as in os.Environ) and validates the result. On a mistake it returns the zero Config and
// an error that holds every mistake there is, for [KeyErrors] to list. Only a file that makes no
// sense as a whole is reported alone: one that cannot be read (with its cause, such as
// fs.ErrNotExist), is not YAML, or gives a key twice. Load keeps nothing; it may be called again
// and concurrently.
func Load(path string, environ []string) (Config, error) {
	file, err := readLayer(path)
	if err != nil {
		return Config{}, err
	}
	d := newDraft(file)
	d.applyFile(file)
	d.applyEnv(environ)
	c := d.finish()
	if err := errors.Join(d.found.err(), c.Validate()); err != nil {
		return Config{}, err
	}
	return c, nil
}

// draft is a configuration while its layers are put on, one above the other.
type draft struct {
	config   Config
	gateways map[string]*Gateway
	settings map[string]value  // by key
	keys     map[string]string // by variable
	found    findings
}

// newDraft starts from the defaults, with the gateways that the file names in place of the default
// one.
func newDraft(file layer) *draft {
	d := &draft{config: Default(), gateways: map[string]*Gateway{}, settings: map[string]value{}, keys: map[string]string{}}
	for name, g := range d.config.Gateways {
		d.gateways[name] = &g
	}
	if named, ok := file.values["gateways"].(map[string]any); ok {
		clear(d.gateways)
		for name := range named {
			g := newGateway()
			d.gateways[name] = &g
		}
	}
	for _, s := range bind(&d.config, d.gateways) {
		d.settings[s.key] = s.value
		d.keys[EnvName(s.key)] = s.key
	}
	d.config.origins = map[string]Origin{}
	return d
}

func (d *draft) applyFile(file layer) {
	values := file.flat()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		d.apply(key, values[key], file.origin(key))
	}
}

func (d *draft) applyEnv(environ []string) {
	values := readEnv(environ, d.keys, &d.found)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		d.apply(key, values[key], Origin{Layer: LayerEnv, Place: EnvName(key)})
	}
}

// apply sets one key. Nothing after the colon of a key, or an empty section, leaves the layer
// below.
func (d *draft) apply(key string, raw any, from Origin) {
	setting, known := d.settings[key]
	empty, isSection := raw.(map[string]any)
	switch {
	case !known && d.isSection(key) && (raw == nil || isSection && len(empty) == 0):
	case !known:
		d.unknown(key, from)
	case raw == nil:
	default:
		if err := setting.set(raw); err != nil {
			d.found.addFrom(from, key, "%s", err)
			return
		}
		d.config.origins[key] = from
	}
}

// isSection holds for names that have keys below them, and for gateways even while there are none.
func (d *draft) isSection(key string) bool {
	if key == "gateways" {
		return true
	}
	for known := range d.settings {
		if strings.HasPrefix(known, key+".") {
			return true
		}
	}
	return false
}

func (d *draft) unknown(key string, from Origin) {
	if d.isSection(key) {
		d.found.addFrom(from, key, "is a section and must have keys below it, not a value")
		return
	}
	for above := key; strings.Contains(above, "."); {
		above = above[:strings.LastIndexByte(above, '.')]
		if _, known := d.settings[above]; known {
			d.found.addFrom(from, above, "takes a value, not a section")
			return
		}
	}
	d.found.addFrom(from, key, "unknown key%s", suggestion(key, maps.Keys(d.settings)))
}

// defaultRate gives a gateway of the kind stripe the limits of Stripe's API for one account, as far
// as no layer sets others (https://docs.stripe.com/rate-limits).
func (d *draft) defaultRate(name string, g *Gateway) {
	if g.Kind != GatewayStripe {
		return
	}
	const perSecond, perEndpoint = 100, 25
	if _, given := d.config.origins["gateways."+name+".rate.per_second"]; !given {
		g.Rate.PerSecond = perSecond
	}
	if _, given := d.config.origins["gateways."+name+".rate.kind_per_second"]; !given {
		g.Rate.PerKind = perEndpoint
	}
}

// finish puts the gateways back into the configuration.
func (d *draft) finish() Config {
	c := d.config
	c.Gateways = make(map[string]Gateway, len(d.gateways))
	for name, g := range d.gateways {
		d.defaultRate(name, g)
		c.Gateways[name] = *g
	}
	return c
}
