package messages

import (
	"strings"

	"github.com/google/uuid"
)

// What every subject of a kind begins with.
const (
	commandSubjectPrefix    = "payments.cmd."
	eventSubjectPrefix      = "payments.evt."
	deadLetterSubjectPrefix = "payments.dlq."
	auditSubjectPrefix      = "payments.audit."

	tenantLengthMax = 64
	// unreadable stands in a dead letter's subject for a token that cannot be read. No tenant or
	// command is named so.
	unreadable = "_"
)

// ValidateTenant returns nil if the name may stand in a subject: 1 to 64 of a-z, 0-9, "-" and "_",
// beginning with a letter or digit. Lower case only, because subjects and permissions are
// case-sensitive and "Acme" beside "acme" is a trap. It fails with a *DecodeError with code
// invalid_tenant.
func ValidateTenant(tenant string) error {
	switch {
	case tenant == "":
		return refuse(CodeInvalidTenant, "tenant", "is empty")
	case len(tenant) > tenantLengthMax:
		return refuse(CodeInvalidTenant, "tenant", "is longer than %d characters", tenantLengthMax)
	case !isToken(tenant):
		return refuse(CodeInvalidTenant, "tenant", "must be of a-z, 0-9, - and _ and begin with a letter or digit, not %s", quote(tenant))
	case ContainsCardNumber([]byte(tenant)):
		return refuse(CodeInvalidTenant, "tenant", "looks like a card number")
	default:
		return nil
	}
}

// ParsePaymentID reads a payment id: a UUID of any version, in any case, in its usual form of 36
// characters. It fails with a *DecodeError with code invalid_payment_id, also for the nil UUID.
func ParsePaymentID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id == uuid.Nil { // Parse also takes braces, urn:uuid: and no hyphens.
		return uuid.Nil, refuse(CodeInvalidPaymentID, "payment_id", "must be a UUID, not %s", quote(s))
	}
	return id, nil
}

// CommandSubject returns payments.cmd.<tenant>.<command>.<payment_id>. It fails with a *DecodeError
// for a tenant, command or payment id that may not stand in one.
func CommandSubject(tenant string, name CommandName, paymentID uuid.UUID) (string, error) {
	if err := ValidateTenant(tenant); err != nil {
		return "", err
	}
	if !name.known() {
		return "", unknownCommand(string(name))
	}
	if paymentID == uuid.Nil {
		return "", refuse(CodeInvalidPaymentID, "payment_id", "is missing")
	}
	return commandSubjectPrefix + tenant + "." + string(name) + "." + paymentID.String(), nil
}

// ParseCommandSubject takes a command's subject apart, or fails with a *DecodeError.
func ParseCommandSubject(subject string) (tenant string, name CommandName, paymentID uuid.UUID, err error) {
	tokens, err := cutSubject(subject, commandSubjectPrefix, 3, "payments.cmd.<tenant>.<command>.<payment_id>")
	if err != nil {
		return "", "", uuid.Nil, err
	}
	if err := ValidateTenant(tokens[0]); err != nil {
		return "", "", uuid.Nil, err
	}
	name = CommandName(tokens[1])
	if !name.known() {
		return "", "", uuid.Nil, unknownCommand(tokens[1])
	}
	paymentID, err = ParsePaymentID(tokens[2])
	if err != nil {
		return "", "", uuid.Nil, err
	}
	return tokens[0], name, paymentID, nil
}

// EventSubject returns payments.evt.<tenant>.<object>.<event>.<payment_id>. It trusts the event:
// EncodeEvent checks it.
func EventSubject(e Event) string {
	return eventSubjectPrefix + e.Tenant + "." + string(e.Type()) + "." + e.PaymentID.String()
}

// ParseEventSubject takes an event's subject apart, or fails with a *DecodeError. A type that this
// version doesn't know is not an error: consumers outlive it.
func ParseEventSubject(subject string) (tenant string, eventType EventType, paymentID uuid.UUID, err error) {
	tokens, err := cutSubject(subject, eventSubjectPrefix, 4, "payments.evt.<tenant>.<object>.<event>.<payment_id>")
	if err != nil {
		return "", "", uuid.Nil, err
	}
	if err := ValidateTenant(tokens[0]); err != nil {
		return "", "", uuid.Nil, err
	}
	if !isToken(tokens[1]) || !isToken(tokens[2]) {
		return "", "", uuid.Nil, refuse(CodeInvalidSubject, "subject", "names no event type")
	}
	paymentID, err = ParsePaymentID(tokens[3])
	if err != nil {
		return "", "", uuid.Nil, err
	}
	return tokens[0], EventType(tokens[1] + "." + tokens[2]), paymentID, nil
}

// DeadLetterSubject returns payments.dlq.<tenant>.<command>.<payment_id> for a message that came on
// commandSubject. Each token that cannot be read becomes "_", so that any subject at all has a dead
// letter, and none leaks a card number.
func DeadLetterSubject(commandSubject string) string {
	tenant, command, paymentID := unreadable, unreadable, unreadable
	if rest, ok := strings.CutPrefix(commandSubject, commandSubjectPrefix); ok {
		tokens := strings.Split(rest, ".")
		if ValidateTenant(tokens[0]) == nil {
			tenant = tokens[0]
		}
		if len(tokens) > 1 && ValidateTenant(tokens[1]) == nil { // An unknown verb is worth seeing if it is a clean token.
			command = tokens[1]
		}
		if len(tokens) == 3 {
			if id, err := ParsePaymentID(tokens[2]); err == nil {
				paymentID = id.String()
			}
		}
	}
	return deadLetterSubjectPrefix + tenant + "." + command + "." + paymentID
}

// TenantEventFilter returns the subject that matches every event of a tenant.
func TenantEventFilter(tenant string) (string, error) {
	if err := ValidateTenant(tenant); err != nil {
		return "", err
	}
	return eventSubjectPrefix + tenant + ".>", nil
}

// PaymentEventFilter returns the subject that matches every event of one payment.
func PaymentEventFilter(tenant string, paymentID uuid.UUID) (string, error) {
	if err := ValidateTenant(tenant); err != nil {
		return "", err
	}
	return eventSubjectPrefix + tenant + ".*.*." + paymentID.String(), nil
}

// DeadLetterFilter returns the subject that matches every dead letter of a tenant, or of all
// tenants if it is "".
func DeadLetterFilter(tenant string) (string, error) { return DeadLetterMatch{Tenant: tenant}.Filter() }

// DeadLetterMatch picks dead letters by their subject. An empty field matches anything, "_" what
// could not be read.
type DeadLetterMatch struct{ Tenant, Command, PaymentID string }

// Filter returns the subject that matches them. It fails with a *DecodeError for what stands in no
// dead letter's subject.
func (m DeadLetterMatch) Filter() (string, error) {
	if m.Tenant != "" && m.Tenant != unreadable {
		if err := ValidateTenant(m.Tenant); err != nil {
			return "", err
		}
	}
	if m.Command != "" && m.Command != unreadable && ValidateTenant(m.Command) != nil {
		return "", refuse(CodeUnknownCommand, "command", "%s is no name of a command", quote(m.Command))
	}
	paymentID := m.PaymentID
	if paymentID != "" && paymentID != unreadable {
		id, err := ParsePaymentID(paymentID)
		if err != nil {
			return "", err
		}
		paymentID = id.String()
	}
	if m.Command == "" && paymentID == "" {
		return deadLetterSubjectPrefix + strings.TrimPrefix(orAny(m.Tenant)+".>", "*."), nil
	}
	return deadLetterSubjectPrefix + orAny(m.Tenant) + "." + orAny(m.Command) + "." + orAny(paymentID), nil
}

func orAny(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

func cutSubject(subject, prefix string, tokens int, shape string) ([]string, error) {
	rest, ok := strings.CutPrefix(subject, prefix)
	if !ok || strings.Count(rest, ".") != tokens-1 {
		return nil, refuse(CodeInvalidSubject, "subject", "must be %s", shape)
	}
	return strings.Split(rest, "."), nil
}

func unknownCommand(name string) error {
	return refuse(CodeUnknownCommand, "command", "%s is unknown", quote(name))
}

// isToken reports whether s is of a-z, 0-9, "-" and "_" and begins with a letter or digit: neither
// dots nor wildcards, spaces or control characters get through.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != ""
}
