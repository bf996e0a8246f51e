package config

import (
	"fmt"
	"slices"
	"strings"
)

// masked stands for a secret part of a URL.
const masked = "xxxxx"

// URL is the address of a server, which may carry a password. It prints, marshals and logs with the
// password masked (postgres://user:xxxxx@host/db); where it is not certain which part is the
// password, it prints as "redacted" as a whole. The zero value is no address. Keep it in exported
// fields only, like a [Secret].
type URL string

// Reveal gives the address with its password, for the one place that connects.
func (u URL) Reveal() string { return string(u) }

// String gives the address with everything secret masked.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	pieces := u.pieces()
	for i, piece := range pieces {
		shown, ok := mask(piece)
		if !ok {
			return redacted
		}
		pieces[i] = shown
	}
	return strings.Join(pieces, ",")
}

// GoString is the text for %#v.
func (u URL) GoString() string { return fmt.Sprintf("%q", u.String()) }

// Format masks under every verb of fmt.
func (u URL) Format(f fmt.State, verb rune) { formatText(f, verb, u.String()) }

// MarshalText masks in JSON, YAML and structured logs.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// pieces splits a list of servers. A comma parts two of them only before a scheme of NATS:
// PostgreSQL has several hosts in one URL, and a comma may be in a password.
func (u URL) pieces() []string {
	var pieces []string
	for _, part := range strings.Split(string(u), ",") {
		address := strings.TrimSpace(part)
		if scheme, _, ok := strings.Cut(address, "://"); len(pieces) == 0 || ok && slices.Contains(natsSchemes(), scheme) {
			pieces = append(pieces, address)
			continue
		}
		pieces[len(pieces)-1] += "," + part
	}
	return pieces
}

// mask hides the secrets in one address. It works on the text, not on a parsed address: an
// unescaped / ? # or @ in a password moves the rest of that password into the host, path, query or
// fragment, and a parser accepts that. So an address with an @ behind its authority is not certain,
// and is not shown.
func mask(address string) (string, bool) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || !slices.Contains(slices.Concat(natsSchemes(), postgresSchemes(), httpSchemes()), scheme) {
		return "", false
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.ContainsAny(tail, "@#") {
		return "", false
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = maskUser(scheme, authority[:i]) + authority[i:]
	}
	path, query, asks := strings.Cut(tail, "?")
	if asks {
		query = "?" + maskQuery(query)
	}
	return scheme + "://" + authority + path + query, true
}

// maskUser hides the password; and a lone user everywhere but at PostgreSQL, as NATS takes it for a
// token and HTTP providers for an API key.
func maskUser(scheme, userinfo string) string {
	user, _, hasPassword := strings.Cut(userinfo, ":")
	switch {
	case hasPassword:
		return user + ":" + masked
	case isPostgres(scheme):
		return user
	default:
		return masked
	}
}

// maskQuery hides every parameter that is not known to be harmless.
func maskQuery(query string) string {
	params := strings.Split(query, "&")
	for i, param := range params {
		name, _, hasValue := strings.Cut(param, "=")
		switch name {
		case "sslmode", "sslrootcert", "host", "port", "dbname", "user", "application_name", "connect_timeout",
			"target_session_attrs", "search_path":
		default:
			if hasValue {
				params[i] = name + "=" + masked
			} else {
				params[i] = masked
			}
		}
	}
	return strings.Join(params, "&")
}

func natsSchemes() []string { return []string{"nats", "tls", "ws", "wss"} }

func postgresSchemes() []string { return []string{"postgres", "postgresql"} }

func httpSchemes() []string { return []string{"http", "https"} }

func isPostgres(scheme string) bool { return slices.Contains(postgresSchemes(), scheme) }
