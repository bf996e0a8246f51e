package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// value is the typed view of one field: how to read it from YAML or from the text of a variable,
// and how to show it.
type value struct {
	kind   string
	secret bool
	set    func(raw any) error // leaves the field alone on an error; the error never tells a secret
	get    func() any          // what may be printed: string, int64, float64 or []string
}

func text[T ~string](p *T, kind string) value {
	return value{
		kind: kind,
		set: func(raw any) error {
			s, err := readText(raw)
			if err != nil {
				return err
			}
			*p = T(s)
			return nil
		},
		get: func() any { return fmt.Sprint(*p) },
	}
}

func secret(p *Secret) value {
	v := text(p, "secret")
	v.secret = true
	return v
}

// location is text whose password, should it have one, stays hidden: URL.String masks it.
func location(p *URL) value { return text(p, "URL") }

// oneOf is a word out of a few; whether it is one of them is for Validate to say.
func oneOf[T ~string](p *T, allowed []T) value { return text(p, "one of "+listed(allowed)) }

func whole[T int | int64](p *T, kind string) value {
	return value{
		kind: kind,
		set: func(raw any) error {
			n, err := readWhole(raw)
			if err != nil {
				return err
			}
			if int64(T(n)) != n {
				return fmt.Errorf("must be a whole number that fits, not %d", n)
			}
			*p = T(n)
			return nil
		},
		get: func() any { return int64(*p) },
	}
}

func yesNo(p *bool) value {
	return value{
		kind: "true or false",
		set: func(raw any) error {
			switch given := raw.(type) {
			case bool:
				*p = given
				return nil
			case string:
				if parsed, err := strconv.ParseBool(given); err == nil {
					*p = parsed
					return nil
				}
			}
			return fmt.Errorf("must be true or false, not %s", quoted(raw))
		},
		get: func() any { return *p },
	}
}

func ratio(p *float64) value {
	return value{
		kind: "ratio",
		set: func(raw any) error {
			f, err := readRatio(raw)
			if err != nil {
				return err
			}
			*p = f
			return nil
		},
		get: func() any { return *p },
	}
}

func duration(p *time.Duration) value {
	return value{
		kind: "duration",
		set: func(raw any) error {
			d, err := readDuration(raw)
			if err != nil {
				return err
			}
			*p = d
			return nil
		},
		get: func() any { return formatDuration(*p) },
	}
}

func durations(p *[]time.Duration) value {
	return list(p, "list of durations", readDuration, formatDuration)
}

func words[T ~string](p *[]T, allowed []T) value {
	read := func(raw any) (T, error) {
		s, err := readText(raw)
		return T(s), err
	}
	return list(p, "list of "+listed(allowed), read, func(one T) string { return string(one) })
}

func list[T any](p *[]T, kind string, read func(any) (T, error), show func(T) string) value {
	return value{
		kind: kind,
		set: func(raw any) error {
			items, err := readItems(raw)
			if err != nil {
				return err
			}
			all := make([]T, 0, len(items))
			for i, item := range items {
				one, err := read(item)
				if err != nil {
					return fmt.Errorf("entry %d: %w", i+1, err)
				}
				all = append(all, one)
			}
			*p = all
			return nil
		},
		get: func() any {
			shown := make([]string, 0, len(*p))
			for _, one := range *p {
				shown = append(shown, show(one))
			}
			return shown
		},
	}
}

// readText is strict about YAML's guesses: an unquoted 0123 is a number to YAML, and would come
// back as another password.
func readText(raw any) (string, error) {
	s, ok := raw.(string)
	if !ok {
		return "", fmt.Errorf("must be text, not %s: put it in quotes", kindOf(raw))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("must not hold control characters, such as a line break at its end")
	}
	return s, nil
}

func readWhole(raw any) (int64, error) {
	switch n := raw.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	case string:
		if parsed, err := strconv.ParseInt(n, 10, 64); err == nil {
			return parsed, nil
		}
	}
	return 0, fmt.Errorf("must be a whole number, not %s", quoted(raw))
}

func readRatio(raw any) (float64, error) {
	parsed := math.NaN()
	switch n := raw.(type) {
	case int:
		parsed = float64(n)
	case float64:
		parsed = n
	case string:
		if f, err := strconv.ParseFloat(n, 64); err == nil {
			parsed = f
		}
	}
	if math.IsNaN(parsed) || math.IsInf(parsed, 0) {
		return 0, fmt.Errorf("must be a number such as 0.5, not %s", quoted(raw))
	}
	return parsed, nil
}

func readDuration(raw any) (time.Duration, error) {
	switch d := raw.(type) {
	case int:
		if d == 0 {
			return 0, nil
		}
	case string:
		if parsed, err := time.ParseDuration(d); err == nil {
			return parsed, nil
		}
	}
	return 0, fmt.Errorf("must be a duration with its unit, such as 250ms, 30s or 24h, not %s", quoted(raw))
}

// readItems takes a YAML list, or text separated by commas as a variable has it.
func readItems(raw any) ([]any, error) {
	switch all := raw.(type) {
	case []any:
		return all, nil
	case string:
		var items []any
		for part := range strings.SplitSeq(all, ",") {
			items = append(items, strings.TrimSpace(part))
		}
		return items, nil
	default:
		return nil, fmt.Errorf("must be a list, not %s", kindOf(raw))
	}
}

// quoted shows a wrong value, cut where it is long. It is never asked for a secret: those are text,
// and any text will do.
func quoted(raw any) string {
	switch v := raw.(type) {
	case string:
		const shownMax = 40
		if runes := []rune(v); len(runes) > shownMax {
			v = string(runes[:shownMax]) + "…"
		}
		return strconv.Quote(v)
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(v)
	default:
		return kindOf(raw)
	}
}

func kindOf(raw any) string {
	switch raw.(type) {
	case nil:
		return "nothing"
	case int, int64, uint64, float64:
		return "a number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	default:
		return "something else"
	}
}

// formatDuration is the shortest text that reads back as d: 168h and not 168h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func listed[T ~string](all []T) string {
	shown := make([]string, 0, len(all))
	for _, one := range all {
		shown = append(shown, string(one))
	}
	return strings.Join(shown, ", ")
}
