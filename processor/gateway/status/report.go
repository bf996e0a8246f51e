package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// The subjects. Reports are on "payments.ops.gateway.<gateway>.<instance>".
const (
	// SubjectRequest asks every instance to report at once. The message's content does not matter.
	SubjectRequest = "payments.ops.gateway.status"
	// SubjectReports is where all reports are.
	SubjectReports = "payments.ops.gateway.*.*"
)

// Subject is where one instance reports on one gateway.
func Subject(gateway, instance string) string {
	return "payments.ops.gateway." + gateway + "." + instance
}

// Report is where one gateway stands as one instance sees it. In JSON its fields are those of [gateway.Status] and these.
type Report struct {
	gateway.Status
	// Instance names the process; two processes never share a name at the same time.
	Instance string `json:"instance"`
	// Version is that of the program.
	Version string `json:"version"`
	// At is when the report was made, by the instance's clock.
	At time.Time `json:"at"`
}

// decode reads a report. What is on the subject of another gateway or instance than it names is no report.
func decode(subject string, data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("decode report on %s: %w", subject, err)
	}
	if Subject(r.Gateway, r.Instance) != subject {
		return Report{}, fmt.Errorf("decode report on %s: it is about %s at %s", subject, r.Gateway, r.Instance)
	}
	return r, nil
}

// InstanceName makes a name fit to be part of a subject: what NATS would take for more than a character becomes "-".
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
