package messages_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

func anEvent(data messages.EventData) messages.Event {
	return messages.Event{
		PaymentID: uuid.MustParse(paymentIDText), Tenant: "acme", Version: 7, OccurredAt: sampleTime(),
		Status: messages.StatusCaptured, CorrelationID: `a"b`, CausationID: "create:order-42", Data: data,
	}
}

func TestEncodeEventBody(t *testing.T) {
	t.Parallel()
	e := anEvent(&messages.PaymentCreated{
		AmountMinor: 1999, Currency: "USD", Exponent: 2, CaptureMethod: messages.CaptureManual, PaymentMethod: "pm_<1>",
		Metadata: map[string]string{"b": "2", "a": "1", "c": "3"},
	})
	e.OccurredAt = time.Date(2026, 7, 12, 11, 30, 0, 999, time.FixedZone("", 2*60*60))
	want := `{"payment_id":"` + paymentIDText + `","tenant":"acme","version":7,"type":"payment.created","status":"captured",` +
		`"occurred_at":"2026-07-12T09:30:00.000000Z","correlation_id":"a\"b","causation_id":"create:order-42",` +
		`"amount_minor":1999,"currency":"USD","exponent":2,"capture_method":"manual","payment_method":"pm_<1>",` +
		`"metadata":{"a":"1","b":"2","c":"3"}}`
	got, err := messages.EncodeEventBody(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if id := messages.EventMessageID(e); id != paymentIDText+":7" {
		t.Errorf("message id %s", id)
	}
}

func TestEncodeEventRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*messages.Event){
		"no data":         func(e *messages.Event) { e.Data = nil },
		"an unknown type": func(e *messages.Event) { e.Data = &messages.Dispute{Type: "dispute.forgotten"} },
		"no type":         func(e *messages.Event) { e.Data = &messages.Dispute{} },
		"no payment":      func(e *messages.Event) { e.PaymentID = uuid.Nil },
		"no version":      func(e *messages.Event) { e.Version = 0 },
		"no status":       func(e *messages.Event) { e.Status = "" },
		"no time":         func(e *messages.Event) { e.OccurredAt = time.Time{} },
		"a bad tenant":    func(e *messages.Event) { e.Tenant = "a.b" },
	} {
		e := anEvent(new(messages.PaymentCaptured))
		spoil(&e)
		if _, _, _, err := messages.EncodeEvent(e); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDecodeEventLetsLaterVersionsThrough(t *testing.T) {
	t.Parallel()
	e := anEvent(&messages.PaymentDeclined{Decline: messages.Decline{Code: "generic_decline", Class: messages.DeclineSoft}})
	body, err := messages.EncodeEventBody(e)
	if err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(string(body), `"decline_class":"soft"`, `"decline_class":"purple","new_field":{"a":[1]}`, 1)
	got, err := messages.DecodeEventBody([]byte(later))
	if err != nil {
		t.Fatal(err)
	}
	if class := got.Data.(*messages.PaymentDeclined).Class; class != "purple" {
		t.Errorf("class %s", class)
	}
}

func TestDecodeEventUnknownType(t *testing.T) {
	t.Parallel()
	body, err := messages.EncodeEventBody(anEvent(new(messages.PaymentCaptured)))
	if err != nil {
		t.Fatal(err)
	}
	body = []byte(strings.Replace(string(body), "payment.captured", "payout.sent", 1))
	_, err = messages.DecodeEvent(nil, body)
	var unknown *messages.UnknownEventTypeError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(anEvent(nil), unknown.Event); diff != "" || unknown.Type != "payout.sent" {
		t.Errorf("type %s; -want +got:\n%s", unknown.Type, diff)
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]messages.DecodeCode{
		"":                                   messages.CodeInvalidJSON,
		"[]":                                 messages.CodeInvalidJSON,
		"null":                               messages.CodeMissingField,
		"{}":                                 messages.CodeMissingField,
		`{"version":4242424242424242424242}`: messages.CodeInvalidField,
		`{"payment_id":"order-42"}`:          messages.CodeInvalidJSON,
	} {
		_, err := messages.DecodeEvent(nats.Header{}, []byte(body))
		wantCode(t, err, want)
		if err != nil && strings.Contains(err.Error(), "4242") {
			t.Errorf("the error shows a value: %v", err)
		}
	}
}

func FuzzDecodeEventBody(f *testing.F) {
	for _, e := range sampleEvents() {
		body, err := messages.EncodeEventBody(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := messages.DecodeEventBody(body)
		if err != nil {
			var refused *messages.DecodeError
			var unknown *messages.UnknownEventTypeError
			if !errors.As(err, &refused) && !errors.As(err, &unknown) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		encoded, err := messages.EncodeEventBody(e)
		if err != nil {
			return // Years beyond 9999 decode and don't encode.
		}
		if !json.Valid(encoded) {
			t.Fatalf("encoded %q", encoded)
		}
		again, err := messages.DecodeEventBody(encoded)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := messages.EncodeEventBody(again)
		if err != nil || string(twice) != string(encoded) {
			t.Fatalf("%s\nbecame %s (%v)", encoded, twice, err)
		}
	})
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := sampleEvents()[7]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := messages.EncodeEvent(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	body, err := messages.EncodeEventBody(sampleEvents()[7])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := messages.DecodeEventBody(body); err != nil {
			b.Fatal(err)
		}
	}
}
