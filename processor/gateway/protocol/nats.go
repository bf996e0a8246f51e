package protocol

import (
	"fmt"
	"regexp"

	"github.com/seed-384b1f8a/tender/messages"
)

// EndpointLookup is the endpoint over NATS for lookups. The others are named by kind.
const EndpointLookup = "lookup"

// subjectPrefix begins the subjects of all connectors.
const subjectPrefix = "payments.gateway."

// Endpoints returns the endpoints that a connector answers on.
func Endpoints() []string {
	return []string{
		string(messages.OperationAuthorize), string(messages.OperationConfirm), string(messages.OperationCapture),
		string(messages.OperationVoid), string(messages.OperationRefund), EndpointLookup,
	}
}

// ValidateName returns nil if a gateway may have this name: it stands in subjects and in the name
// of a service.
func ValidateName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`).MatchString(name) {
		return fmt.Errorf("the name of a gateway is 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit, not %q", name)
	}
	return nil
}

// Subject returns payments.gateway.<name>.<endpoint>. The name has passed [ValidateName].
func Subject(name, endpoint string) string { return subjectPrefix + name + "." + endpoint }

// ServiceName returns the name of a gateway's connector as a NATS service, which is also its queue
// group.
func ServiceName(name string) string { return "gateway-" + name }

// ReadReply gives a reply over NATS, which has a body only, the status that it would have over
// HTTP. The status is 0 where the body is neither an answer nor a problem, or claims to be both;
// [Exchange.Outcome] takes that for unknown.
func ReadReply(body []byte) Reply {
	r := Reply{Body: body}
	p, problemErr := DecodeProblem(body)
	a, err := decodeAnswer(body)
	switch {
	case err != nil, problemErr == nil && a.Outcome != "":
	case problemErr == nil:
		r.Status, _ = p.Code.Status()
	default:
		r.Status, _ = Status(a.Outcome)
	}
	return r
}
