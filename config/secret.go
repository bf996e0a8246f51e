package config

import "fmt"

// redacted stands for a secret that is set.
const redacted = "redacted"

// Secret is text that must not be written anywhere. It prints, marshals and logs as "redacted", or
// as nothing when it is empty, so that one can see whether it is set. Keep it in exported fields
// only: fmt does not ask an unexported field how it wants to be printed.
type Secret string

// Reveal gives the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String says "redacted", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is the text for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format keeps the secret under every verb of fmt; %x and %d would otherwise reach past String.
func (s Secret) Format(f fmt.State, verb rune) { formatText(f, verb, s.String()) }

// MarshalText keeps the secret out of JSON, YAML and structured logs, all of which ask for it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// formatText prints text as fmt would print a string.
func formatText(f fmt.State, verb rune, text string) {
	// The state takes what is written to it; where that fails, fmt's caller learns of it.
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}
