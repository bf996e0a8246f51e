package store

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// paymentRow is a row of payments. All of it but previousVersion is derived from the state.
type paymentRow struct {
	id                       uuid.UUID
	previousVersion, version int64
	tenant, status           string

	amountMinor, authorizedMinor, capturedMinor, refundedMinor int64
	releasedMinor, capturableMinor, refundableMinor            int64

	currency                  string
	exponent                  int16
	captureMethod             string
	customerID                string
	merchantReference         string
	gateway, gatewayReference string
	failureCode               string
	createdAt                 time.Time // zero is null
	updatedAt                 time.Time
	awaitingSince             time.Time // zero is null
	state                     []byte
}

func newPaymentRow(p *payment.Payment, previousVersion int64, state []byte) paymentRow {
	return paymentRow{
		id: p.ID, previousVersion: previousVersion, version: p.Version,
		tenant: p.Tenant, status: string(p.Status),
		amountMinor: p.AmountMinor, authorizedMinor: p.AuthorizedMinor, capturedMinor: p.CapturedMinor,
		refundedMinor: p.RefundedMinor, releasedMinor: p.ReleasedMinor,
		capturableMinor: p.CapturableMinor(), refundableMinor: p.RefundableMinor(),
		currency: p.Currency, exponent: int16(p.Exponent), //nolint:gosec // G115: ISO 4217 has exponents up to 4
		captureMethod: string(p.CaptureMethod),
		customerID:    p.CustomerID, merchantReference: p.MerchantReference,
		gateway: p.Gateway, gatewayReference: p.GatewayReference, failureCode: failureCode(p),
		createdAt: p.CreatedAt, updatedAt: p.UpdatedAt, awaitingSince: awaitingSince(p), state: state,
	}
}

// failureCode is why the payment failed or, while it may still be paid otherwise, why it was declined.
func failureCode(p *payment.Payment) string {
	if p.FailureCode == "" && p.Decline != nil {
		return p.Decline.Code
	}
	return p.FailureCode
}

// awaitingSince is when the oldest call was made whose answer a worker is waiting for, zero if there is none. Such an
// operation has no timer: if the worker dies, it is the sweep that finds it.
func awaitingSince(p *payment.Payment) time.Time {
	var since time.Time
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Status != payment.OperationSent || op.Pending {
			continue
		}
		if since.IsZero() || op.SentAt.Before(since) {
			since = op.SentAt
		}
	}
	return since
}

// columnDifference is a column in which two rows differ.
type columnDifference struct {
	name     string
	from, to any
}

// differingColumns names the columns in which two rows differ, the state aside.
func (r *paymentRow) differingColumns(other paymentRow) string {
	differing := r.differences(&other)
	if len(differing) == 0 {
		return ""
	}
	names := make([]string, len(differing))
	for i, d := range differing {
		names[i] = d.name
	}
	return "the columns " + strings.Join(names, ", ") + " differ from the state"
}

// differences are the columns in which two rows differ, the state aside.
func (r *paymentRow) differences(other *paymentRow) []columnDifference {
	var differing []columnDifference
	numbers := func(name string, a, b int64) {
		if a != b {
			differing = append(differing, columnDifference{name, a, b})
		}
	}
	texts := func(name, a, b string) {
		if a != b {
			differing = append(differing, columnDifference{name, a, b})
		}
	}
	times := func(name string, a, b time.Time) {
		if !a.Equal(b) {
			differing = append(differing, columnDifference{name, a, b})
		}
	}
	if r.id != other.id {
		differing = append(differing, columnDifference{"payment_id", r.id, other.id})
	}
	numbers("version", r.version, other.version)
	texts("tenant", r.tenant, other.tenant)
	texts("status", r.status, other.status)
	numbers("amount_minor", r.amountMinor, other.amountMinor)
	numbers("authorized_minor", r.authorizedMinor, other.authorizedMinor)
	numbers("captured_minor", r.capturedMinor, other.capturedMinor)
	numbers("refunded_minor", r.refundedMinor, other.refundedMinor)
	numbers("released_minor", r.releasedMinor, other.releasedMinor)
	numbers("capturable_minor", r.capturableMinor, other.capturableMinor)
	numbers("refundable_minor", r.refundableMinor, other.refundableMinor)
	texts("currency", r.currency, other.currency)
	numbers("exponent", int64(r.exponent), int64(other.exponent))
	texts("capture_method", r.captureMethod, other.captureMethod)
	texts("customer_id", r.customerID, other.customerID)
	texts("merchant_reference", r.merchantReference, other.merchantReference)
	texts("gateway", r.gateway, other.gateway)
	texts("gateway_reference", r.gatewayReference, other.gatewayReference)
	texts("failure_code", r.failureCode, other.failureCode)
	times("created_at", r.createdAt, other.createdAt)
	times("updated_at", r.updatedAt, other.updatedAt)
	times("awaiting_since", r.awaitingSince, other.awaitingSince)
	return differing
}
