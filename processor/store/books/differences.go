package books

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// columnDifference is a column in which two rows differ.
type columnDifference struct {
	name     string
	from, to any
}

// differingColumns names the columns in which a row differs from the one that follows from its
// state.
func differingColumns(stored, derived *store.PaymentRow) string {
	differing := columnDifferences(stored, derived)
	if len(differing) == 0 {
		return ""
	}
	names := make([]string, len(differing))
	for i, d := range differing {
		names[i] = d.name
	}
	return "the columns " + strings.Join(names, ", ") + " differ from the state"
}

// columnDifferences are the columns in which two rows differ, the state aside.
func columnDifferences(r, other *store.PaymentRow) []columnDifference {
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
	if r.ID != other.ID {
		differing = append(differing, columnDifference{"payment_id", r.ID, other.ID})
	}
	numbers("version", r.Version, other.Version)
	texts("tenant", r.Tenant, other.Tenant)
	texts("status", r.Status, other.Status)
	numbers("amount_minor", r.AmountMinor, other.AmountMinor)
	numbers("authorized_minor", r.AuthorizedMinor, other.AuthorizedMinor)
	numbers("captured_minor", r.CapturedMinor, other.CapturedMinor)
	numbers("refunded_minor", r.RefundedMinor, other.RefundedMinor)
	numbers("released_minor", r.ReleasedMinor, other.ReleasedMinor)
	numbers("capturable_minor", r.CapturableMinor, other.CapturableMinor)
	numbers("refundable_minor", r.RefundableMinor, other.RefundableMinor)
	texts("currency", r.Currency, other.Currency)
	numbers("exponent", int64(r.Exponent), int64(other.Exponent))
	texts("capture_method", r.CaptureMethod, other.CaptureMethod)
	texts("customer_id", r.CustomerID, other.CustomerID)
	texts("merchant_reference", r.MerchantReference, other.MerchantReference)
	texts("gateway", r.Gateway, other.Gateway)
	texts("gateway_reference", r.GatewayReference, other.GatewayReference)
	texts("failure_code", r.FailureCode, other.FailureCode)
	times("created_at", r.CreatedAt, other.CreatedAt)
	times("updated_at", r.UpdatedAt, other.UpdatedAt)
	times("awaiting_since", r.AwaitingSince, other.AwaitingSince)
	return differing
}

// differingFields names the fields of the state in which two payments differ, as they would be
// stored.
func differingFields(stored, folded *payment.Payment) string {
	differing, err := fieldDifferences(stored, folded)
	if err != nil {
		return err.Error()
	}
	if len(differing) == 0 {
		return ""
	}
	names := make([]string, len(differing))
	for i, d := range differing {
		names[i] = d.name
	}
	return "the state differs from the folded history in " + strings.Join(names, ", ")
}

// fieldDifference is a field of the state in which two payments differ, as JSON; nil is a field
// that is left out.
type fieldDifference struct {
	name     string
	from, to json.RawMessage
}

// fieldDifferences are in the order of their names.
func fieldDifferences(stored, folded *payment.Payment) ([]fieldDifference, error) {
	a, errA := fields(stored)
	b, errB := fields(folded)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	var differing []fieldDifference
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			differing = append(differing, fieldDifference{name, a[name], b[name]})
		}
	}
	for name := range b {
		if _, both := a[name]; !both {
			differing = append(differing, fieldDifference{name, nil, b[name]})
		}
	}
	slices.SortFunc(differing, func(a, b fieldDifference) int { return strings.Compare(a.name, b.name) })
	return differing, nil
}

func fields(p *payment.Payment) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(text, &named); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	return named, nil
}
