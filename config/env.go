package config

import (
	"regexp"
	"strings"
)

const (
	envPrefix = "TENDER_"

	// FileEnv is the variable that names the configuration file. The caller of [Load] reads it;
	// Load passes over it.
	FileEnv = "TENDER_CONFIG"
)

// readEnv gives the values of the variables whose names are known, by key. Every other TENDER_
// variable is a mistake, noted in found. An empty variable counts as not set: deployment templates
// leave one behind for a value that was not given.
func readEnv(environ []string, keys map[string]string, found *findings) map[string]any {
	values := make(map[string]any)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		key, known := keys[name]
		switch {
		case !strings.HasPrefix(name, envPrefix) || name == FileEnv || isServiceLink(name, value):
		case !known:
			found.unknownVariable(name, keys)
		case value == "":
			delete(values, key) // the last of several entries counts
		default:
			values[key] = value
		}
	}
	return values
}

// serviceLink matches the variables that Kubernetes puts into every pod for a Service whose name
// begins with "tender", in the style of Docker links:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
var serviceLink = regexp.MustCompile(
	`^TENDER_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)

// isServiceLink tells those variables from mistakes: without it, a Service named tender would keep
// Tender from starting. The shortest form, TENDER_PORT, is only known by its value.
func isServiceLink(name, value string) bool {
	if serviceLink.MatchString(name) {
		return true
	}
	scheme, _, isURL := strings.Cut(value, "://")
	return strings.HasSuffix(name, "_PORT") && isURL && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
}
