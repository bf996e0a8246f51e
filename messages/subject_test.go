package messages_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

const (
	paymentIDText = "0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"
	cardText      = "4242424242424242"
)

func TestCommandSubject(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse(paymentIDText)
	for _, name := range messages.CommandNames() {
		subject, err := messages.CommandSubject("acme", name, id)
		if err != nil {
			t.Fatal(err)
		}
		if want := "payments.cmd.acme." + string(name) + "." + paymentIDText; subject != want {
			t.Errorf("%s, want %s", subject, want)
		}
		tenant, gotName, gotID, err := messages.ParseCommandSubject(subject)
		if err != nil || tenant != "acme" || gotName != name || gotID != id {
			t.Errorf("parsed %s %s %s: %v", tenant, gotName, gotID, err)
		}
	}
}

func TestCommandSubjectRefuses(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse(paymentIDText)
	for _, tenant := range badTenants() {
		_, err := messages.CommandSubject(tenant, messages.CommandCreate, id)
		wantCode(t, err, messages.CodeInvalidTenant)
		if err != nil && strings.Contains(err.Error(), cardText) {
			t.Errorf("the error shows a card number: %v", err)
		}
		_, err = messages.TenantEventFilter(tenant)
		wantCode(t, err, messages.CodeInvalidTenant)
		_, err = messages.PaymentEventFilter(tenant, id)
		wantCode(t, err, messages.CodeInvalidTenant)
	}
	_, err := messages.CommandSubject("acme", "captrue", id)
	wantCode(t, err, messages.CodeUnknownCommand)
	_, err = messages.CommandSubject("acme", messages.CommandCreate, uuid.Nil)
	wantCode(t, err, messages.CodeInvalidPaymentID)
}

func badTenants() []string {
	return []string{
		"", "a.b", "*", ">", "a b", "a\tb", "a\x00", "a\n", "Acme", "_acme", "-acme", "_", "ümlaut", "a/b",
		strings.Repeat("a", 65), cardText,
	}
}

func TestParseCommandSubjectRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		subject string
		want    messages.DecodeCode
	}{
		{"", messages.CodeInvalidSubject},
		{"payments.cmd.acme.create", messages.CodeInvalidSubject},
		{"payments.cmd.acme.create." + paymentIDText + ".x", messages.CodeInvalidSubject},
		{"payments.evt.acme.create." + paymentIDText, messages.CodeInvalidSubject},
		{"payments.cmd..create." + paymentIDText, messages.CodeInvalidTenant},
		{"payments.cmd.*.create." + paymentIDText, messages.CodeInvalidTenant},
		{"payments.cmd.ACME.create." + paymentIDText, messages.CodeInvalidTenant},
		{"payments.cmd.acme.captrue." + paymentIDText, messages.CodeUnknownCommand},
		{"payments.cmd.acme.Create." + paymentIDText, messages.CodeUnknownCommand},
		{"payments.cmd.acme." + cardText + "." + paymentIDText, messages.CodeUnknownCommand},
		{"payments.cmd.acme.create.order-42", messages.CodeInvalidPaymentID},
		{"payments.cmd.acme.create." + cardText, messages.CodeInvalidPaymentID},
		{"payments.cmd.acme.create." + strings.ReplaceAll(paymentIDText, "-", ""), messages.CodeInvalidPaymentID},
		{"payments.cmd.acme.create.{" + paymentIDText + "}", messages.CodeInvalidPaymentID},
		{"payments.cmd.acme.create." + uuid.Nil.String(), messages.CodeInvalidPaymentID},
	}
	for _, tt := range tests {
		t.Run(tt.subject, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := messages.ParseCommandSubject(tt.subject)
			wantCode(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), cardText) {
				t.Errorf("the error shows a card number: %v", err)
			}
		})
	}
}

func TestParseCommandSubjectTakesAnyCaseOfUUID(t *testing.T) {
	t.Parallel()
	_, _, id, err := messages.ParseCommandSubject("payments.cmd.acme.create." + strings.ToUpper(paymentIDText))
	if err != nil || id.String() != paymentIDText {
		t.Errorf("%s, %v", id, err)
	}
}

func TestEventSubject(t *testing.T) {
	t.Parallel()
	e := messages.Event{Tenant: "acme", PaymentID: uuid.MustParse(paymentIDText), Data: new(messages.PaymentCaptured)}
	subject := messages.EventSubject(e)
	if want := "payments.evt.acme.payment.captured." + paymentIDText; subject != want {
		t.Errorf("%s, want %s", subject, want)
	}
	tenant, eventType, id, err := messages.ParseEventSubject(subject)
	if err != nil || tenant != "acme" || eventType != messages.EventPaymentCaptured || id != e.PaymentID {
		t.Errorf("parsed %s %s %s: %v", tenant, eventType, id, err)
	}
	_, eventType, _, err = messages.ParseEventSubject("payments.evt.acme.payout.sent." + paymentIDText)
	if err != nil || eventType != "payout.sent" {
		t.Errorf("an event type of a later version: %s, %v", eventType, err)
	}
	for subject, want := range map[string]messages.DecodeCode{
		"payments.evt.acme.payment." + paymentIDText:           messages.CodeInvalidSubject,
		"payments.evt.acme.payment.*." + paymentIDText:         messages.CodeInvalidSubject,
		"payments.evt.a b.payment.captured." + paymentIDText:   messages.CodeInvalidTenant,
		"payments.evt.acme.payment.captured.1":                 messages.CodeInvalidPaymentID,
		"payments.cmd.acme.payment.captured." + paymentIDText:  messages.CodeInvalidSubject,
		"payments.evt.acme.payment.captured.x" + paymentIDText: messages.CodeInvalidPaymentID,
	} {
		_, _, _, err := messages.ParseEventSubject(subject)
		wantCode(t, err, want)
	}
}

func TestDeadLetterSubject(t *testing.T) {
	t.Parallel()
	tests := []struct{ subject, want string }{
		{"payments.cmd.acme.create." + paymentIDText, "payments.dlq.acme.create." + paymentIDText},
		{"payments.cmd.acme.create." + strings.ToUpper(paymentIDText), "payments.dlq.acme.create." + paymentIDText},
		{"payments.cmd.acme.captrue." + paymentIDText, "payments.dlq.acme.captrue." + paymentIDText},
		{"payments.cmd.acme.create.order-42", "payments.dlq.acme.create._"},
		{"payments.cmd.acme.create", "payments.dlq.acme.create._"},
		{"payments.cmd.acme", "payments.dlq.acme._._"},
		{"payments.cmd.ACME.create." + paymentIDText, "payments.dlq._.create." + paymentIDText},
		{"payments.cmd.acme.create." + paymentIDText + ".x", "payments.dlq.acme.create._"},
		{"payments.cmd." + cardText + "." + cardText + "." + cardText, "payments.dlq._._._"},
		{"other", "payments.dlq._._._"},
		{"", "payments.dlq._._._"},
	}
	for _, tt := range tests {
		if got := messages.DeadLetterSubject(tt.subject); got != tt.want {
			t.Errorf("DeadLetterSubject(%q) = %s, want %s", tt.subject, got, tt.want)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("payments.cmd.acme.create." + paymentIDText)
	f.Add("payments.evt.acme.payment.captured." + strings.ToUpper(paymentIDText))
	f.Add("payments.cmd.*.>.\x00")
	f.Fuzz(func(t *testing.T, subject string) {
		if tenant, name, id, err := messages.ParseCommandSubject(subject); err == nil {
			again, err := messages.CommandSubject(tenant, name, id)
			if err != nil || !strings.EqualFold(again, subject) {
				t.Errorf("%q came back as %q: %v", subject, again, err)
			}
		}
		if tenant, _, id, err := messages.ParseEventSubject(subject); err == nil {
			if _, err := messages.PaymentEventFilter(tenant, id); err != nil {
				t.Error(err)
			}
		}
		dead := messages.DeadLetterSubject(subject)
		if strings.ContainsAny(dead, "*> \t\r\n\x00") || strings.Count(dead, ".") != 4 {
			t.Errorf("dead letter subject %q", dead)
		}
	})
}
