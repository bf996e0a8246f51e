package status

import (
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// The subjects. Reports are on "payments.ops.gateway.<gateway>.<instance>".
const (
	// SubjectRequest asks every instance to report at once. The message's content does not matter.
	SubjectRequest = "payments.ops.gateway.status"
	// SubjectReports matches the subjects of all reports.
	SubjectReports = "payments.ops.gateway.*.*"
)

// Subject returns the subject on which one instance reports on one gateway.
func Subject(gateway, instance string) string {
	return "payments.ops.gateway." + gateway + "." + instance
}

// Report is the status of one gateway as one instance sees it. In JSON its fields are those of
// [gateway.Status] and these.
type Report struct {
	gateway.Status
	// Instance names the process; two processes never share a name at the same time.
	Instance string `json:"instance"`
	// Version is that of the program.
	Version string `json:"version"`
	// At is the time of the report, by the instance's clock.
	At time.Time `json:"at"`
}

// InstanceName makes a name fit to be part of a subject: characters with a meaning to NATS, and
// all but letters, digits, "-" and "_", become "-".
func InstanceName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		default:
			return '-'
		}
	}, s)
}
