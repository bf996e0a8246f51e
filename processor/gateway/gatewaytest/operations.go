package gatewaytest

import "github.com/seed-384b1f8a/tender/processor/gateway/conformance"

// Payment makes the operations of one payment, each with its own id. It is for one goroutine.
type Payment = conformance.Payment

// NewPayment returns a payment with an id of its own.
func NewPayment() *Payment { return conformance.NewPayment() }
