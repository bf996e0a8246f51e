package messages_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

const minimalCreate = `{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa"}`

func subjectOf(name messages.CommandName) string {
	return "payments.cmd.acme." + string(name) + "." + paymentIDText
}

func withKey() nats.Header { return nats.Header{"Nats-Msg-Id": {"order-42"}} }

func TestDecodeCommandTakesTheLeast(t *testing.T) {
	t.Parallel()
	got, err := messages.DecodeCommand(subjectOf(messages.CommandCreate), withKey(), []byte(minimalCreate))
	if err != nil {
		t.Fatal(err)
	}
	want := messages.Command{
		ID:             "order-42",
		Tenant:         "acme",
		PaymentID:      uuid.MustParse(paymentIDText),
		IdempotencyKey: "order-42",
		PayloadHash:    got.PayloadHash,
		CorrelationID:  paymentIDText,
		Body: &messages.Create{
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: messages.CaptureAutomatic,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeCommandReadsEverything(t *testing.T) {
	t.Parallel()
	header := nats.Header{
		"Nats-Msg-Id":     {"msg-1"},
		"idempotency-key": {"key-1"}, // any case
		"ce-id":           {"ce-1"},
		"ce-specversion":  {"1.0"},
		"Correlation-Id":  {"basket-7"},
		"Content-Type":    {"application/json; charset=utf-8"},
		"traceparent":     {"00-42424242424242424242424242424242-4242424242424242-01"},
		"tracestate":      {"vendor=" + cardText},
		"X-Anything":      {"else"},
	}
	body := `{"amount_minor": 999999999999, "currency": "EUR", "payment_method": "pm@x", "capture_method": "manual_multiple",
		"customer_id": "cus \u00e4", "merchant_reference": "r\"1", "country": "DE", "metadata": {"a": "", "b\u0062": "2"}}`
	got, err := messages.DecodeCommand(subjectOf(messages.CommandCreate), header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := messages.Command{
		ID: "ce-1", Tenant: "acme", PaymentID: uuid.MustParse(paymentIDText), IdempotencyKey: "key-1",
		PayloadHash: got.PayloadHash, CorrelationID: "basket-7",
		Traceparent: "00-42424242424242424242424242424242-4242424242424242-01",
		Body: &messages.Create{
			AmountMinor: messages.AmountMinorMax, Currency: "EUR", PaymentMethod: "pm@x",
			CaptureMethod: messages.CaptureManualMultiple, CustomerID: "cus ä", MerchantReference: `r"1`, Country: "DE",
			Metadata: map[string]string{"a": "", "bb": "2"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeCommandEmptyBody(t *testing.T) {
	t.Parallel()
	for _, name := range messages.CommandNames() {
		want := messages.DecodeCode("")
		switch name {
		case messages.CommandCreate, messages.CommandResolve, messages.CommandCompensate, messages.CommandNotify:
			want = messages.CodeMissingField
		default:
		}
		for _, body := range []string{"", "{}", " { } "} {
			_, err := messages.DecodeCommand(subjectOf(name), withKey(), []byte(body))
			wantCode(t, err, want)
		}
	}
}

func TestDecodeCommandResume(t *testing.T) {
	t.Parallel()
	got, err := messages.DecodeCommand(subjectOf(messages.CommandResume), nil, []byte(`{"due_at":"2026-07-12T14:00:00.5+02:00"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 7, 12, 12, 0, 0, 500_000_000, time.UTC)
	if due := got.Body.(*messages.Resume).DueAt; due != want || got.IdempotencyKey != "" {
		t.Errorf("due at %v, key %q", due, got.IdempotencyKey)
	}
}

func TestDecodeCommandRefusesBodies(t *testing.T) {
	t.Parallel()
	create := func(field, value string) string {
		return strings.Replace(minimalCreate, "{", `{"`+field+`":`+value+",", 1)
	}
	instead := func(old, with string) string { return strings.Replace(minimalCreate, old, with, 1) }
	long := func(n int) string { return strconv.Quote(strings.Repeat("ä", n)) }
	tests := []struct {
		name    string
		command messages.CommandName
		body    string
		want    messages.DecodeCode
		field   string
	}{
		{"not json", "create", "hello", messages.CodeInvalidJSON, "body"},
		{"cut off", "create", minimalCreate[:40], messages.CodeInvalidJSON, "body"},
		{"an array", "create", "[" + minimalCreate + "]", messages.CodeInvalidJSON, "body"},
		{"null", "void", "null", messages.CodeInvalidJSON, "body"},
		{"a string", "void", `"{}"`, messages.CodeInvalidJSON, "body"},
		{"white space only", "void", "  ", messages.CodeInvalidJSON, "body"},
		{"a byte order mark", "void", "\ufeff{}", messages.CodeInvalidJSON, "body"},
		{"single quotes", "void", `{'reason':'x'}`, messages.CodeInvalidJSON, "body"},
		{"deep", "create", create("metadata", strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), messages.CodeInvalidJSON, "body"},
		{"trailing object", "void", "{}{}", messages.CodeTrailingData, "body"},
		{"trailing word", "void", "{} x", messages.CodeTrailingData, "body"},
		{"not utf-8", "void", "{\"reason\":\"\xff\"}", messages.CodeInvalidUTF8, "body"},
		{"half a surrogate pair", "void", `{"reason":"\ud800"}`, messages.CodeInvalidUTF8, "reason"},
		{"huge", "void", `{"reason":"` + strings.Repeat("a", messages.BodySizeMax) + `"}`, messages.CodeBodyTooLarge, "body"},
		{"a card number", "create", create("customer_id", `"4242 4242 4242 4242"`), messages.CodeCardNumberPresent, "body"},
		{"an escaped card number", "create", create("customer_id", `"\u0034242424242424242"`), messages.CodeCardNumberPresent, "body"},
		{"unknown field", "create", create("capture", "true"), messages.CodeUnknownField, "capture"},
		{"wrong case", "create", create("Amount_Minor", "5"), messages.CodeUnknownField, `"Amount_Minor"`},
		{"odd field", "void", `{"a\nb":1}`, messages.CodeUnknownField, `"a\nb"`},
		{"a field of another command", "void", `{"amount_minor":5}`, messages.CodeUnknownField, "amount_minor"},
		{"tenant in the body", "void", `{"tenant":"other"}`, messages.CodeUnknownField, "tenant"},
		{"given twice", "create", create("currency", `"EUR"`), messages.CodeDuplicateField, "currency"},
		{"given twice, once escaped", "create", create(`curr\u0065ncy`, `"EUR"`), messages.CodeDuplicateField, "currency"},
		{"metadata key twice", "create", create("metadata", `{"a":"1","a":"2"}`), messages.CodeDuplicateField, `metadata["a"]`},
		{"no amount", "create", instead(`"amount_minor":1999,`, ""), messages.CodeMissingField, "amount_minor"},
		{"no currency", "create", instead(`"currency":"USD",`, ""), messages.CodeMissingField, "currency"},
		{"no payment method", "create", instead(`,"payment_method":"pm_card_visa"`, ""), messages.CodeMissingField, "payment_method"},
		{"null amount", "refund", `{"amount_minor":null}`, messages.CodeInvalidField, "amount_minor"},
		{"null reason", "refund", `{"reason":null}`, messages.CodeInvalidField, "reason"},
		{"null final", "capture", `{"final":null}`, messages.CodeInvalidField, "final"},
		{"a fraction", "create", instead("1999", "19.99"), messages.CodeInvalidField, "amount_minor"},
		{"a whole fraction", "create", instead("1999", "1999.0"), messages.CodeInvalidField, "amount_minor"},
		{"an exponent", "create", instead("1999", "2e3"), messages.CodeInvalidField, "amount_minor"},
		{"an amount as text", "create", instead("1999", `"1999"`), messages.CodeInvalidField, "amount_minor"},
		{"an amount as an object", "create", instead("1999", `{"value":1999}`), messages.CodeInvalidField, "amount_minor"},
		{"zero", "create", instead("1999", "0"), messages.CodeAmountNotPositive, "amount_minor"},
		{"minus zero", "create", instead("1999", "-0"), messages.CodeAmountNotPositive, "amount_minor"},
		{"negative", "create", instead("1999", "-1999"), messages.CodeAmountNotPositive, "amount_minor"},
		{"very negative", "create", instead("1999", "-99999999999999999999"), messages.CodeAmountNotPositive, "amount_minor"},
		{"too large", "create", instead("1999", "1000000000000"), messages.CodeAmountTooLarge, "amount_minor"},
		{"overflowing", "create", instead("1999", "99999999999999999999"), messages.CodeAmountTooLarge, "amount_minor"},
		{"zero refund", "refund", `{"amount_minor":0}`, messages.CodeAmountNotPositive, "amount_minor"},
		{"zero capture", "capture", `{"amount_minor":0}`, messages.CodeAmountNotPositive, "amount_minor"},
		{"too large a capture", "capture", `{"amount_minor":1000000000000}`, messages.CodeAmountTooLarge, "amount_minor"},
		{"lower-case currency", "create", instead("USD", "usd"), messages.CodeUnknownCurrency, "currency"},
		{"unknown currency", "create", instead("USD", "XXX"), messages.CodeUnknownCurrency, "currency"},
		{"currency as a number", "create", instead(`"USD"`, "840"), messages.CodeInvalidField, "currency"},
		{"empty payment method", "confirm", `{"payment_method":""}`, messages.CodeInvalidField, "payment_method"},
		{"payment method with a space", "confirm", `{"payment_method":"pm 1"}`, messages.CodeInvalidField, "payment_method"},
		{"long payment method", "confirm", `{"payment_method":"` + strings.Repeat("p", 129) + `"}`, messages.CodeInvalidField, "payment_method"},
		{"unknown capture method", "create", create("capture_method", `"auto"`), messages.CodeInvalidField, "capture_method"},
		{"long customer", "create", create("customer_id", long(256)), messages.CodeInvalidField, "customer_id"},
		{"control character", "create", create("merchant_reference", `"a\u0000"`), messages.CodeInvalidField, "merchant_reference"},
		{"lower-case country", "create", create("country", `"de"`), messages.CodeInvalidField, "country"},
		{"metadata as a list", "create", create("metadata", `["a"]`), messages.CodeInvalidField, "metadata"},
		{"metadata with a number", "create", create("metadata", `{"a":1}`), messages.CodeInvalidField, `metadata["a"]`},
		{"metadata with an object", "create", create("metadata", `{"a":{"b":"c"}}`), messages.CodeInvalidField, `metadata["a"]`},
		{"metadata with null", "create", create("metadata", `{"a":null}`), messages.CodeInvalidField, `metadata["a"]`},
		{"metadata with an empty key", "create", create("metadata", `{"":"a"}`), messages.CodeInvalidField, "metadata"},
		{"metadata with a long value", "create", create("metadata", `{"a":`+long(501)+`}`), messages.CodeInvalidField, `metadata["a"]`},
		{"too much metadata", "create", create("metadata", manyMembers(51)), messages.CodeInvalidField, "metadata"},
		{"final as text", "capture", `{"final":"true"}`, messages.CodeInvalidField, "final"},
		{"unknown refund reason", "refund", `{"reason":"because"}`, messages.CodeInvalidField, "reason"},
		{"long reason", "void", `{"reason":` + long(501) + `}`, messages.CodeInvalidField, "reason"},
		{"not a time", "resume", `{"due_at":"tomorrow"}`, messages.CodeInvalidField, "due_at"},
		{"resolve without an actor", "resolve", `{"operation_id":"x-1","outcome":"failed","reason":"r"}`, messages.CodeMissingField, "actor"},
		{"resolve to failed with an amount", "resolve", `{"operation_id":"x-1","outcome":"failed","amount_minor":1,"actor":"a","reason":"r"}`, messages.CodeInvalidField, "amount_minor"},
		{"resolve with an amount of nothing", "resolve", `{"operation_id":"x-1","outcome":"succeeded","amount_minor":0,"actor":"a","reason":"r"}`, messages.CodeAmountNotPositive, "amount_minor"},
		{"compensate without an actor", "compensate", `{"operation_id":"x-1","reason":"r"}`, messages.CodeMissingField, "actor"},
		{"compensate without a reason", "compensate", `{"operation_id":"x-1","actor":"a"}`, messages.CodeMissingField, "reason"},
		{"compensate with a card number", "compensate", `{"operation_id":"x-1","actor":"a","reason":"4242 4242 4242 4242"}`, messages.CodeCardNumberPresent, "body"},
		{"resolve to unknown", "resolve", `{"operation_id":"x-1","outcome":"unknown","actor":"a","reason":"r"}`, messages.CodeInvalidField, "outcome"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := messages.DecodeCommand(subjectOf(tt.command), withKey(), []byte(tt.body))
			wantCode(t, err, tt.want)
			var refused *messages.DecodeError
			if errors.As(err, &refused) && refused.Field != tt.field {
				t.Errorf("field %s (%v), want %s", refused.Field, err, tt.field)
			}
		})
	}
}

func TestDecodeCommandSaysWhatToDoAboutNull(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"amount_minor":null}`, `{"reason":null}`} {
		_, err := messages.DecodeCommand(subjectOf(messages.CommandRefund), withKey(), []byte(body))
		if err == nil || !strings.Contains(err.Error(), "must not be null") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = `"k` + strconv.Itoa(i) + `":"v"`
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestDecodeCommandRefusesHeaders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header nats.Header
		want   messages.DecodeCode
	}{
		{"none", nil, messages.CodeMissingIdempotencyKey},
		{"only a ce-id", nats.Header{"ce-id": {"1"}}, messages.CodeMissingIdempotencyKey},
		{"an empty key", nats.Header{"Idempotency-Key": {""}, "Nats-Msg-Id": {"1"}}, messages.CodeInvalidHeader},
		{"two keys", nats.Header{"Idempotency-Key": {"1", "2"}}, messages.CodeInvalidHeader},
		{"two spellings", nats.Header{"Idempotency-Key": {"1"}, "idempotency-key": {"2"}}, messages.CodeInvalidHeader},
		{"a long key", nats.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}, messages.CodeInvalidHeader},
		{"an unprintable key", nats.Header{"Idempotency-Key": {"a\x00"}}, messages.CodeInvalidHeader},
		{"a key that is not UTF-8", nats.Header{"Idempotency-Key": {"a\xff"}}, messages.CodeInvalidHeader},
		{"a padded key", nats.Header{"Idempotency-Key": {"a "}}, messages.CodeInvalidHeader},
		{"a card number as key", nats.Header{"Idempotency-Key": {cardText}}, messages.CodeCardNumberPresent},
		{"a card number as id", nats.Header{"Nats-Msg-Id": {cardText}}, messages.CodeCardNumberPresent},
		{"a card number elsewhere", nats.Header{"Nats-Msg-Id": {"1"}, "X-Card": {cardText}}, messages.CodeCardNumberPresent},
		{"another CloudEvents", nats.Header{"Nats-Msg-Id": {"1"}, "ce-specversion": {"0.3"}}, messages.CodeInvalidHeader},
		{"xml", nats.Header{"Nats-Msg-Id": {"1"}, "Content-Type": {"text/xml"}}, messages.CodeInvalidHeader},
		{"avro", nats.Header{"Nats-Msg-Id": {"1"}, "ce-datacontenttype": {"application/avro"}}, messages.CodeInvalidHeader},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := messages.DecodeCommand(subjectOf(messages.CommandCreate), tt.header, []byte(minimalCreate))
			wantCode(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), cardText) {
				t.Errorf("the error shows a card number: %v", err)
			}
		})
	}
}

func TestDecodeCommandIgnoresMalformedTraceparent(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, traceparent := range []string{
		"", "x", "00-" + trace + "-00f067aa0ba902b7", "ff-" + trace + "-00f067aa0ba902b7-01",
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01",
	} {
		header := withKey()
		header.Set(messages.HeaderTraceparent, traceparent)
		got, err := messages.DecodeCommand(subjectOf(messages.CommandCreate), header, []byte(minimalCreate))
		if err != nil || got.Traceparent != "" {
			t.Errorf("traceparent %q: kept %q, %v", traceparent, got.Traceparent, err)
		}
	}
}

func TestPayloadHash(t *testing.T) {
	t.Parallel()
	const otherPayment = "0198f3a2-7c1e-7b44-9a55-000000000001"
	hash := func(name messages.CommandName, paymentID, body string) string {
		t.Helper()
		c, err := messages.DecodeCommand("payments.cmd.acme."+string(name)+"."+paymentID, withKey(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(c.PayloadHash[:])
	}
	create := hash("create", paymentIDText, minimalCreate)
	// Hashes are stored: this one must never change.
	if want := "1cf89d5c1a640cde6e6d8d822c1dc0768269f423351e361c2390bb63c2905a1c"; create != want {
		t.Errorf("the hash of a stored create changed: %s, want %s", create, want)
	}
	same := []string{
		hash("create", otherPayment, minimalCreate),
		hash("create", paymentIDText, ` { "payment_method":"pm_card_v\u0069sa","currency":"USD", "amount_minor":1999,"capture_method":"automatic","metadata":{}}`),
	}
	for i, h := range same {
		if h != create {
			t.Errorf("spelling %d of the same create has another hash", i)
		}
	}
	refund := hash("refund", paymentIDText, `{"amount_minor":5}`)
	different := []string{
		create, refund,
		hash("create", paymentIDText, strings.Replace(minimalCreate, "1999", "1998", 1)),
		hash("refund", otherPayment, `{"amount_minor":5}`),
		hash("refund", paymentIDText, `{"amount_minor":6}`),
		hash("refund", paymentIDText, ""),
		hash("capture", paymentIDText, ""),
		hash("capture", paymentIDText, `{"amount_minor":5}`),
	}
	seen := make(map[string]int)
	for i, h := range different {
		if before, ok := seen[h]; ok {
			t.Errorf("commands %d and %d have one hash", before, i)
		}
		seen[h] = i
	}
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add(subjectOf("create"), "order-42", []byte(minimalCreate))
	f.Add(subjectOf("capture"), "k", []byte(`{"amount_minor":5,"final":true}`))
	f.Add(subjectOf("void"), "k", []byte(`{"reason":"\ud83d\ude00 \u0000"}`))
	f.Add(subjectOf("resume"), "", []byte(`{"due_at":"2026-07-12T14:00:00+02:00"}`))
	f.Add(subjectOf("resolve"), "k", []byte(`{"operation_id":"x-1","outcome":"failed","actor":"a","reason":"r"}`))
	f.Fuzz(func(t *testing.T, subject, key string, body []byte) {
		header := nats.Header{messages.HeaderMessageID: {key}}
		c, err := messages.DecodeCommand(subject, header, body)
		if err != nil {
			var refused *messages.DecodeError
			if !errors.As(err, &refused) {
				t.Fatalf("%T: %v", err, err)
			}
			if messages.ContainsCardNumber([]byte(err.Error())) {
				t.Fatalf("the error shows a card number: %v", err)
			}
			return
		}
		if len(body) > 0 && !json.Valid(body) {
			t.Fatalf("took %q", body)
		}
		if messages.ContainsCardNumber(body) {
			t.Fatalf("took a card number: %q", body)
		}
		if key == "" {
			return // A resume without an id can't be encoded.
		}
		subject, encoded, body, err := messages.EncodeCommand(c, messages.Origin{})
		if err != nil {
			t.Fatalf("encode %+v: %v", c, err)
		}
		again, err := messages.DecodeCommand(subject, toHeader(encoded), body)
		if err != nil {
			t.Fatalf("decode again: %v", err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("-first +again:\n%s", diff)
		}
	})
}

func toHeader(m map[string]string) nats.Header {
	header := make(nats.Header, len(m))
	for name, value := range m {
		header.Set(name, value)
	}
	return header
}

func BenchmarkDecodeCommand(b *testing.B) {
	body := []byte(`{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa","capture_method":"manual",` +
		`"customer_id":"cus_18342","merchant_reference":"order-2026-001834"}`)
	subject, header := subjectOf(messages.CommandCreate), withKey()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := messages.DecodeCommand(subject, header, body); err != nil {
			b.Fatal(err)
		}
	}
}
