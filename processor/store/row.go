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

// differingColumns names the columns in which two rows differ, the state aside.
func (r *paymentRow) differingColumns(other paymentRow) string {
	var differing []string
	compare := func(name string, equal bool) {
		if !equal {
			differing = append(differing, name)
		}
	}
	compare("payment_id", r.id == other.id)
	compare("version", r.version == other.version)
	compare("tenant", r.tenant == other.tenant)
	compare("status", r.status == other.status)
	compare("amount_minor", r.amountMinor == other.amountMinor)
	compare("authorized_minor", r.authorizedMinor == other.authorizedMinor)
	compare("captured_minor", r.capturedMinor == other.capturedMinor)
	compare("refunded_minor", r.refundedMinor == other.refundedMinor)
	compare("released_minor", r.releasedMinor == other.releasedMinor)
	compare("capturable_minor", r.capturableMinor == other.capturableMinor)
	compare("refundable_minor", r.refundableMinor == other.refundableMinor)
	compare("currency", r.currency == other.currency)
	compare("exponent", r.exponent == other.exponent)
	compare("capture_method", r.captureMethod == other.captureMethod)
	compare("customer_id", r.customerID == other.customerID)
	compare("merchant_reference", r.merchantReference == other.merchantReference)
	compare("gateway", r.gateway == other.gateway)
	compare("gateway_reference", r.gatewayReference == other.gatewayReference)
	compare("failure_code", r.failureCode == other.failureCode)
	compare("created_at", r.createdAt.Equal(other.createdAt))
	compare("updated_at", r.updatedAt.Equal(other.updatedAt))
	compare("awaiting_since", r.awaitingSince.Equal(other.awaitingSince))
	if len(differing) == 0 {
		return ""
	}
	return "the columns " + strings.Join(differing, ", ") + " differ from the state"
}
