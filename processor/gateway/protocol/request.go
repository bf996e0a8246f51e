package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// QueryTenant is the parameter of a lookup over HTTP that names the tenant. It is required.
const QueryTenant = "tenant"

// keyBytesMax is the greatest length of an operation id and of a tenant.
const keyBytesMax = 255

// Key is the idempotency key of an operation at a server: two tenants may use the same operation id
// for operations that have nothing to do with each other.
type Key struct {
	Tenant, OperationID string
}

// KeyOf returns the key of an operation.
func KeyOf(op messages.Operation) Key { return Key{op.Tenant, op.ID} }

// Check returns nil if both parts have 1 to 255 bytes.
func (k Key) Check() error {
	for _, part := range []struct{ name, value string }{{"operation_id", k.OperationID}, {"tenant", k.Tenant}} {
		if part.value == "" || len(part.value) > keyBytesMax {
			return fmt.Errorf("%s must be 1 to %d bytes", part.name, keyBytesMax)
		}
	}
	return nil
}

// DecodeOperation reads the body of a request. It refuses a field that it does not know, since
// the client means something by it, a field that is given twice or is null, and a value of
// another type. It does not look at the values: a server looks the key up first, and then calls
// [CheckOperation].
func DecodeOperation(body []byte) (messages.Operation, error) {
	if err := checkFields(body); err != nil {
		return messages.Operation{}, fmt.Errorf("decode operation: %w", err)
	}
	var op messages.Operation
	if err := decodeOne(json.NewDecoder(bytes.NewReader(body)), &op); err != nil {
		return messages.Operation{}, fmt.Errorf("decode operation: %w", err)
	}
	return op, nil
}

// checkFields returns nil if the body is one object, whose fields are those of an operation by the
// letter, each there once and not null. The decoder of the standard library takes AMOUNT_MINOR for
// amount_minor, and the last of two.
func checkFields(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	known := operationFields()
	var seen []string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("not the JSON that is expected: %w", err)
		}
		field, _ := name.(string)
		var value json.RawMessage
		err = decoder.Decode(&value)
		switch {
		case err != nil:
			return fmt.Errorf("not the JSON that is expected: %w", err)
		case !slices.Contains(known, field):
			return fmt.Errorf("unknown field %q", Shown(field))
		case slices.Contains(seen, field):
			return fmt.Errorf("%s is given twice", field)
		case string(value) == "null":
			return fmt.Errorf("%s is null", field)
		}
		seen = append(seen, field)
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("not the JSON that is expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// operationFields returns the names of an operation's fields on the wire.
func operationFields() []string {
	var names []string
	for field := range reflect.TypeFor[messages.Operation]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// CheckOperation returns nil if the operation has everything that its kind needs; else the reason
// why a server refuses it as invalid_request.
func CheckOperation(op messages.Operation) error {
	if err := KeyOf(op).Check(); err != nil {
		return err
	}
	void := op.Kind == messages.OperationVoid
	switch {
	case op.PaymentID == uuid.Nil:
		return errors.New("payment_id is missing")
	case op.Attempt < 0:
		return fmt.Errorf("attempt is %d", op.Attempt)
	case op.AmountMinor < 0, op.AmountMinor == 0 && !void:
		return fmt.Errorf("amount_minor must be over 0, is %d", op.AmountMinor)
	case (!void || op.Currency != "") && !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(op.Currency):
		return fmt.Errorf("currency must be three letters, is %q", Shown(op.Currency))
	}
	switch op.Reason {
	case "", messages.RefundDuplicate, messages.RefundFraudulent, messages.RefundRequestedByCustomer:
	default:
		return fmt.Errorf("reason is %q", Shown(string(op.Reason)))
	}
	switch op.Kind {
	case messages.OperationAuthorize:
		if op.PaymentMethod == "" {
			return errors.New(`payment_method is missing: payment method "" is none`)
		}
	case messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid, messages.OperationRefund:
		if op.GatewayReference == "" {
			return errors.New("gateway_reference is missing")
		}
	default:
		return fmt.Errorf("kind must be authorize, confirm, capture, void or refund, is %q", Shown(string(op.Kind)))
	}
	return nil
}
