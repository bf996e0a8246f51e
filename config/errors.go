package config

import (
	"errors"
	"fmt"
)

// KeyError is one mistake in the configuration. Its text names the key and the place, and never the
// value of a secret.
type KeyError struct {
	Key     string // dotted, such as worker.slots_max; the variable's name where no key belongs to it
	Problem string // what is wrong, and what would be right
	Origin  Origin // where the value came from
}

// Error is the whole line: the key, the problem, and the place unless it is a default.
func (e *KeyError) Error() string {
	if e.Origin.Layer == "" || e.Origin.Layer == LayerDefault || e.Origin.Place == e.Key {
		return e.Key + ": " + e.Problem
	}
	return fmt.Sprintf("%s: %s (%s)", e.Key, e.Problem, e.Origin)
}

// KeyErrors lists the mistakes inside an error of [Load] or [Config.Validate], in their order; none
// when there is another reason, such as a file that cannot be read.
func KeyErrors(err error) []*KeyError {
	switch e := err.(type) { //nolint:errorlint // it walks the whole tree itself, where errors.As stops at the first
	case nil:
		return nil
	case *KeyError:
		return []*KeyError{e}
	case interface{ Unwrap() []error }:
		var all []*KeyError
		for _, one := range e.Unwrap() {
			all = append(all, KeyErrors(one)...)
		}
		return all
	default:
		return KeyErrors(errors.Unwrap(err))
	}
}

// Layer is one of the three places a value may come from.
type Layer string

// The layers; each covers the one before.
const (
	LayerDefault Layer = "default"
	LayerFile    Layer = "file"
	LayerEnv     Layer = "env"
)

// Origin says where the value of a key came from.
type Origin struct {
	Layer Layer  `json:"layer"`
	Place string `json:"place,omitempty"` // file and line, or the name of the variable
}

// String is the layer and the place: "default", "file tender.yaml:12", "env TENDER_NATS_URL".
func (o Origin) String() string {
	if o.Place == "" {
		return string(o.Layer)
	}
	return string(o.Layer) + " " + o.Place
}

// findings gathers mistakes, so that all of them are reported together.
type findings struct {
	origins map[string]Origin
	errs    []error
}

func (f *findings) add(key, format string, args ...any) {
	f.addFrom(f.origins[key], key, format, args...)
}

func (f *findings) addFrom(from Origin, key, format string, args ...any) {
	f.errs = append(f.errs, &KeyError{Key: key, Problem: fmt.Sprintf(format, args...), Origin: from})
}

func (f *findings) err() error { return errors.Join(f.errs...) }
