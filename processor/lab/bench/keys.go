package bench

import (
	"reflect"
	"strings"
	"time"
)

// Key documents one key of a report in JSON.
type Key struct {
	// Name is the path from the top; [] stands for every item of a list.
	Name string
	Doc  string
}

// Keys documents every key of a [Report], in its order.
func Keys() []Key { return keysOf(reflect.TypeFor[Report](), "") }

func keysOf(t reflect.Type, prefix string) []Key {
	var keys []Key
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		keys = append(keys, Key{prefix + name, field.Tag.Get("doc")})
		below, nested := prefix+name+".", field.Type
		if nested.Kind() == reflect.Pointer {
			nested = nested.Elem()
		}
		if nested.Kind() == reflect.Slice {
			below, nested = prefix+name+"[].", nested.Elem()
		}
		if nested.Kind() == reflect.Struct && nested != reflect.TypeFor[time.Time]() {
			keys = append(keys, keysOf(nested, below)...)
		}
	}
	return keys
}
