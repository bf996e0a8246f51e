package messages

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages/jsonobject"
)

// eventMeta is what every event has, in the order in which it stands in the body, before the data's
// own fields.
type eventMeta struct {
	PaymentID     uuid.UUID `json:"payment_id"`
	Tenant        string    `json:"tenant"`
	Version       int64     `json:"version"`
	Type          EventType `json:"type"`
	Status        Status    `json:"status"`
	OccurredAt    eventTime `json:"occurred_at"`
	CorrelationID string    `json:"correlation_id"`
	CausationID   string    `json:"causation_id"`
	PreviousHash  Hash      `json:"previous_hash,omitzero"`
}

// eventTime is written in UTC with microseconds, always six digits, so that equal times have equal
// bytes.
type eventTime struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t eventTime) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 32), '"')
	return append(appendTime(b, t.Time), '"'), nil
}

// EventMessageID returns "<payment_id>:<version>": the same event always has the same id, so that
// consumers can drop one they have seen.
func EventMessageID(e Event) string {
	return e.PaymentID.String() + ":" + strconv.FormatInt(e.Version, 10)
}

// EncodeEvent returns what to publish for an event: CloudEvents 1.0 in binary mode. The publisher
// adds Nats-Msg-Id, which is EventMessageID and equals ce-id. Errors are those of EncodeEventBody.
func EncodeEvent(e Event) (subject string, header map[string]string, body []byte, err error) {
	body, err = EncodeEventBody(e)
	if err != nil {
		return "", nil, nil, err
	}
	header = map[string]string{
		HeaderCESpecVersion: cloudEventsVersion,
		HeaderCEID:          EventMessageID(e),
		HeaderCEType:        "tender." + string(e.Type()) + ".v1",
		HeaderCESource:      cloudEventsSource,
		HeaderCETime:        string(appendTime(nil, e.OccurredAt)),
		HeaderCESubject:     e.PaymentID.String(),
		HeaderContentType:   contentTypeJSON,
	}
	if e.Traceparent != "" {
		header[HeaderTraceparent] = e.Traceparent
	}
	return EventSubject(e), header, body, nil
}

// EncodeEventBody returns the body of an event: one flat JSON object, the common fields first.
// Equal events give equal bytes. OccurredAt is written in UTC with microseconds, anything finer is
// cut off; the times in the data are written as they are, so they should be in UTC too. It fails
// for an event that lacks a common field or whose type is unknown, which is a mistake of the
// caller.
func EncodeEventBody(e Event) ([]byte, error) {
	if err := checkEvent(e); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(1024)
	b.Write(appendMeta(b.AvailableBuffer(), e))
	end := b.Len()
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // Next actions hold URLs.
	if err := encoder.Encode(e.Data); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", EventMessageID(e), err)
	}
	body := b.Bytes()
	body = body[:len(body)-1] // Encode ends with a line feed.
	if body[end+1] == '}' {   // no data
		return append(body[:end], '}'), nil
	}
	body[end] = ',' // in place of the data's opening brace
	return body, nil
}

// appendMeta appends the fields of eventMeta, which say more than those of the data, and leaves the
// object open.
func appendMeta(b []byte, e Event) []byte {
	b = append(b, `{"payment_id":"`...)
	b = append(b, e.PaymentID.String()...)
	b = appendJSONString(append(b, `","tenant":`...), e.Tenant)
	b = strconv.AppendInt(append(b, `,"version":`...), e.Version, 10)
	b = appendJSONString(append(b, `,"type":`...), string(e.Type()))
	b = appendJSONString(append(b, `,"status":`...), string(e.Status))
	b = appendTime(append(b, `,"occurred_at":"`...), e.OccurredAt)
	b = appendJSONString(append(b, `","correlation_id":`...), e.CorrelationID)
	b = appendJSONString(append(b, `,"causation_id":`...), e.CausationID)
	if !e.PreviousHash.IsZero() {
		b = hex.AppendEncode(append(b, `,"previous_hash":"`...), e.PreviousHash[:])
		b = append(b, '"')
	}
	return b
}

// appendJSONString appends s as encoding/json does if it escapes no HTML.
func appendJSONString(b []byte, s string) []byte {
	if strings.ContainsAny(s, "<>&") {
		escaped := bytes.NewBuffer(b)
		encoder := json.NewEncoder(escaped)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			panic(fmt.Sprintf("messages: a string must be valid JSON: %v", err))
		}
		return bytes.TrimSuffix(escaped.Bytes(), []byte{'\n'})
	}
	return jsonobject.AppendString(b, s)
}

func checkEvent(e Event) error {
	switch {
	case e.Data == nil:
		return errors.New("encode event: it has no data")
	case !e.Type().known():
		return fmt.Errorf("encode event: unknown type %q", e.Type())
	case e.PaymentID == uuid.Nil:
		return errors.New("encode event: it has no payment id")
	case e.Version < 1:
		return fmt.Errorf("encode event of payment %s: version %d is less than 1", e.PaymentID, e.Version)
	case e.Status == "" || e.OccurredAt.IsZero():
		return fmt.Errorf("encode event %s: it has no status or no time", EventMessageID(e))
	default:
		if err := ValidateTenant(e.Tenant); err != nil {
			return fmt.Errorf("encode event %s: %w", EventMessageID(e), err)
		}
		return nil
	}
}

// DecodeEvent reads an event as it came from the bus. The body says everything but the traceparent.
// Errors are those of DecodeEventBody.
func DecodeEvent(header nats.Header, body []byte) (Event, error) {
	e, err := DecodeEventBody(body)
	if err != nil {
		return Event{}, err
	}
	if values := header[HeaderTraceparent]; len(values) == 1 && isTraceparent(values[0]) {
		e.Traceparent = values[0]
	}
	return e, nil
}

// DecodeEventBody reads the body of an event, published or not. Unknown fields and unknown values
// of a field are let through, so that consumers outlive new versions. It fails with an
// *UnknownEventTypeError for a type that this version doesn't know, and with a *DecodeError for
// what is no event at all.
func DecodeEventBody(body []byte) (Event, error) {
	var meta eventMeta
	if err := json.Unmarshal(body, &meta); err != nil {
		return Event{}, eventError(err)
	}
	if err := meta.check(); err != nil {
		return Event{}, err
	}
	e := Event{
		PaymentID:     meta.PaymentID,
		Tenant:        meta.Tenant,
		Version:       meta.Version,
		OccurredAt:    meta.OccurredAt.UTC(),
		Status:        meta.Status,
		CorrelationID: meta.CorrelationID,
		CausationID:   meta.CausationID,
		PreviousHash:  meta.PreviousHash,
	}
	data := newEventData(meta.Type)
	if data == nil {
		return Event{}, &UnknownEventTypeError{Type: meta.Type, Event: e}
	}
	if err := json.Unmarshal(body, data); err != nil {
		return Event{}, eventError(err)
	}
	e.Data = data
	return e, nil
}

func (m eventMeta) check() error {
	return firstError(
		required("payment_id", m.PaymentID != uuid.Nil),
		required("tenant", m.Tenant != ""),
		required("version", m.Version != 0),
		required("type", m.Type != ""),
		required("status", m.Status != ""),
		required("occurred_at", !m.OccurredAt.IsZero()),
		ValidateTenant(m.Tenant),
		validateVersion(m.Version),
	)
}

func validateVersion(version int64) error {
	if version < 1 {
		return refuse(CodeInvalidField, "version", "must be 1 or more")
	}
	return nil
}

// eventError names the field that doesn't fit; events come from Tender, so this is rare and needs
// no more.
func eventError(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		kind, _, _ := strings.Cut(wrongType.Value, " ") // What follows is the value itself.
		return refuse(CodeInvalidField, wrongType.Field, "must not be a JSON %s of this form", kind)
	case errors.As(err, &syntax):
		return refuse(CodeInvalidJSON, "body", "is not JSON at byte %d", syntax.Offset)
	default:
		return refuse(CodeInvalidJSON, "body", "is not an event: a value has the wrong form")
	}
}
