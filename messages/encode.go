package messages

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// cloudEventsSource is the ce-source of what Tender itself publishes.
const cloudEventsSource = "tender"

// Origin says where and when a command was made; both end up in its CloudEvents attributes.
type Origin struct {
	// Source is a URI reference naming the producer; "" means "tender".
	Source string
	// Time is when the command was made; the zero value leaves ce-time out.
	Time time.Time
}

// CommandMessageID returns the Nats-Msg-Id under which JetStream recognizes a command published
// again. It holds the tenant, the command and the payment beside the command's own id, because
// JetStream compares message ids across a whole stream: two tenants that both number their orders
// from 1 would otherwise swallow each other's payments.
func CommandMessageID(c Command) string {
	return c.Tenant + ":" + string(c.Name()) + ":" + c.PaymentID.String() + ":" + c.ID
}

// EncodeCommand returns what to publish for a command: CloudEvents 1.0 in binary mode, with
// Nats-Msg-Id among the headers. ID, Tenant, PaymentID, Body and, except for resume, IdempotencyKey
// must be set; PayloadHash and an empty CorrelationID are the reader's to fill in. DecodeCommand
// reads the result back as the same command. It fails with the *DecodeError that DecodeCommand
// would give.
func EncodeCommand(c Command, origin Origin) (subject string, header map[string]string, body []byte, err error) {
	if c.Body == nil {
		return "", nil, nil, refuse(CodeMissingField, "body", "is missing")
	}
	subject, err = CommandSubject(c.Tenant, c.Name(), c.PaymentID)
	if err != nil {
		return "", nil, nil, err
	}
	header, err = commandHeaders(c, origin)
	if err != nil {
		return "", nil, nil, err
	}
	if err := validateBody(c.Body); err != nil {
		return "", nil, nil, err
	}
	body, err = json.Marshal(c.Body)
	if err != nil {
		return "", nil, nil, fmt.Errorf("encode command %s: %w", c.ID, err)
	}
	if err := checkBody(body); err != nil {
		return "", nil, nil, err
	}
	return subject, header, body, nil
}

func commandHeaders(c Command, origin Origin) (map[string]string, error) {
	if err := checkID("header "+HeaderCEID, c.ID); err != nil {
		return nil, err
	}
	header := map[string]string{
		HeaderCESpecVersion: cloudEventsVersion,
		HeaderCEID:          c.ID,
		HeaderCEType:        "tender.command." + string(c.Name()) + ".v1",
		HeaderCESource:      cmp.Or(origin.Source, cloudEventsSource),
		HeaderCESubject:     c.PaymentID.String(),
		HeaderContentType:   contentTypeJSON,
		HeaderMessageID:     CommandMessageID(c),
	}
	if !origin.Time.IsZero() {
		header[HeaderCETime] = string(appendTime(nil, origin.Time))
	}
	if c.Name() != CommandResume {
		if c.IdempotencyKey == "" {
			return nil, refuse(CodeMissingIdempotencyKey, "header "+HeaderIdempotencyKey, "is missing")
		}
		if err := checkID("header "+HeaderIdempotencyKey, c.IdempotencyKey); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(c.IdempotencyKey) > keyLengthMax {
			return nil, refuse(CodeInvalidHeader, "header "+HeaderIdempotencyKey, "is longer than %d characters", keyLengthMax)
		}
		header[HeaderIdempotencyKey] = c.IdempotencyKey
	}
	if c.CorrelationID != "" {
		if err := checkID("header "+HeaderCorrelationID, c.CorrelationID); err != nil {
			return nil, err
		}
		header[HeaderCorrelationID] = c.CorrelationID
	}
	if isTraceparent(c.Traceparent) {
		header[HeaderTraceparent] = c.Traceparent
	}
	return header, nil
}

// payloadHash hashes what a command asks for, so that a key used again can be told from a key used
// for something else. A create is hashed without its payment id: sent again under a fresh one it is
// still the same create. What stands here is stored and compared for as long as there are payments:
// it must never change for an existing body.
func payloadHash(c Command) ([sha256.Size]byte, error) {
	body, err := json.Marshal(c.Body)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("hash command %s: %w", c.ID, err)
	}
	canonical := make([]byte, 0, 80+len(body))
	canonical = append(canonical, c.Name()...)
	canonical = append(canonical, '\n')
	if c.Name() != CommandCreate {
		canonical = append(canonical, c.PaymentID.String()...)
	}
	canonical = append(canonical, '\n')
	canonical = append(canonical, body...)
	return sha256.Sum256(canonical), nil
}

// appendTime appends a time in UTC with microseconds, which is what PostgreSQL keeps.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	}
	hour, minute, second := t.Clock()
	b = append(appendDigits(b, year, 1000), '-')
	b = append(appendDigits(b, int(month), 10), '-')
	b = append(appendDigits(b, day, 10), 'T')
	b = append(appendDigits(b, hour, 10), ':')
	b = append(appendDigits(b, minute, 10), ':')
	b = append(appendDigits(b, second, 10), '.')
	return append(appendDigits(b, t.Nanosecond()/1000, 100_000), 'Z')
}

// appendDigits appends as many digits of n as the power of ten has.
func appendDigits(b []byte, n, highest int) []byte {
	for ; highest > 0; highest /= 10 {
		b = append(b, byte('0'+n/highest%10))
	}
	return b
}
