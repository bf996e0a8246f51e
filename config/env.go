package config

import (
	"regexp"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
)

const (
	envPrefix = "TENDER_"

	// FileEnv is the variable that names the configuration file. The caller of [Load] reads it; Load passes over it.
	FileEnv = "TENDER_CONFIG"
)

// readEnv gives the values of the variables whose names are known, by key. Every other TENDER_ variable is a mistake, noted in
// found. An empty variable counts as not set: that is what deployment templates leave behind for a value nobody gave.
func readEnv(environ []string, keys map[string]string, found *findings) (*koanf.Koanf, error) {
	values := koanf.New(".")
	provider := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, known := keys[name]
			switch {
			case name == FileEnv || isServiceLink(name, value):
				return "", nil
			case !known:
				found.unknownVariable(name, keys)
				return "", nil
			case value == "":
				return "", nil
			default:
				return key, value
			}
		},
	})
	err := values.Load(provider, nil)
	return values, err
}

// serviceLink matches what Kubernetes puts into every pod for a Service whose name begins with "tender", in the style of
// Docker links: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
var serviceLink = regexp.MustCompile(
	`^TENDER_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)

// isServiceLink tells those variables from mistakes: without it, a Service named tender would keep Tender from starting. The
// shortest form, TENDER_PORT, is only known by its value.
func isServiceLink(name, value string) bool {
	if serviceLink.MatchString(name) {
		return true
	}
	scheme, _, isURL := strings.Cut(value, "://")
	return strings.HasSuffix(name, "_PORT") && isURL && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
}
