package main

import (
	"slices"

	"github.com/seed-384b1f8a/tender/messages"
)

// The events that several scenarios begin with.
func createdAnd(kinds ...messages.EventType) []happening {
	return emitted(slices.Concat([]messages.EventType{messages.EventPaymentCreated, messages.EventPaymentRouted}, kinds)...)
}

// demoScenarios is the script of `tenderlab demo`, with the payment methods of the simulator.
func demoScenarios() []scenario {
	return slices.Concat(ordinaryScenarios(), refusedScenarios(), repeatedScenarios(), faultyScenarios(), []scenario{webhookFirst(), rubbish()},
		outageScenarios())
}

func ordinaryScenarios() []scenario {
	return []scenario{
		{
			name: "approved at once",
			steps: []step{{
				asked:  "create 19.99 USD, as a bare nats pub",
				raw:    &rawCommand{verb: "create", body: `{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa","capture_method":"automatic"}`},
				events: createdAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 1999, captured: 1999, effects: 1},
		},
		{
			name: "captured in parts",
			steps: []step{
				{
					asked:  "create 120.00 EUR, to be captured in parts",
					body:   createBody(120_00, "EUR", "pm_card_mastercard", messages.CaptureManualMultiple),
					events: createdAnd(messages.EventPaymentAuthorized),
				},
				{asked: "capture 30.00", body: captureBody(30_00, false), events: emitted(messages.EventPaymentCaptured)},
				{asked: "capture 45.00, release the rest", body: captureBody(45_00, true), events: emitted(messages.EventPaymentCaptured)},
			},
			want: expected{status: messages.StatusCaptured, authorized: 120_00, captured: 75_00, released: 45_00, effects: 3},
		},
		{
			name: "3-D Secure",
			steps: []step{
				{
					asked:  "create 64.50 EUR",
					body:   createBody(64_50, "EUR", "pm_card_threeDSecure2Required", messages.CaptureAutomatic),
					events: createdAnd(messages.EventPaymentActionRequired),
				},
				{asked: "confirm", body: &messages.Confirm{}, events: emitted(messages.EventPaymentCaptured)},
			},
			want: expected{status: messages.StatusCaptured, authorized: 64_50, captured: 64_50, effects: 1},
		},
		{
			name: "voided",
			steps: []step{
				{
					asked:  "create 5000 JPY, to be captured later",
					body:   createBody(5000, "JPY", "pm_card_visa", messages.CaptureManual),
					events: createdAnd(messages.EventPaymentAuthorized),
				},
				{asked: "void", body: &messages.Void{Reason: "out of stock"}, events: emitted(messages.EventPaymentVoided)},
			},
			want: expected{status: messages.StatusVoided, authorized: 5000, released: 5000, effects: 2},
		},
		{
			name: "refunded in parts",
			steps: []step{
				{
					asked:  "create 50.00 USD",
					body:   createBody(50_00, "USD", "pm_card_visa", messages.CaptureAutomatic),
					events: createdAnd(messages.EventPaymentCaptured),
				},
				{asked: "refund 20.00", body: refundBody(20_00), events: emitted(messages.EventRefundCreated, messages.EventRefundSucceeded)},
				{asked: "refund 30.00", body: refundBody(30_00), events: emitted(messages.EventRefundCreated, messages.EventRefundSucceeded)},
				{asked: "refund 0.01", body: refundBody(1), events: refusedWith(messages.RejectNothingToRefund)},
			},
			want: expected{status: messages.StatusRefunded, authorized: 50_00, captured: 50_00, refunded: 50_00, effects: 3},
		},
	}
}

func refusedScenarios() []scenario {
	return []scenario{
		{
			name: "declined",
			steps: []step{{
				asked:  "create 10.00 USD",
				body:   createBody(10_00, "USD", "pm_card_visa_chargeDeclined", messages.CaptureAutomatic),
				events: createdAnd(messages.EventPaymentDeclined),
			}},
			want: expected{status: messages.StatusRequiresPaymentMethod},
		},
		{
			name: "insufficient funds",
			steps: []step{
				{
					asked:  "create 900.00 USD",
					body:   createBody(900_00, "USD", "pm_card_visa_chargeDeclinedInsufficientFunds", messages.CaptureAutomatic),
					events: createdAnd(messages.EventPaymentDeclined),
				},
				{
					asked:  "capture 900.00",
					body:   captureBody(900_00, false),
					events: refusedWith(messages.RejectInvalidState),
				},
			},
			want: expected{status: messages.StatusRequiresPaymentMethod},
		},
		{
			name: "another card",
			steps: []step{
				{
					asked:  "create 25.00 GBP",
					body:   createBody(25_00, "GBP", "pm_card_chargeDeclinedExpiredCard", messages.CaptureAutomatic),
					events: createdAnd(messages.EventPaymentDeclined),
				},
				{
					asked:  "confirm with another card",
					body:   &messages.Confirm{PaymentMethod: "pm_card_visa"},
					events: emitted(messages.EventPaymentRouted, messages.EventPaymentCaptured),
				},
			},
			want: expected{status: messages.StatusCaptured, authorized: 25_00, captured: 25_00, effects: 1},
		},
	}
}

func repeatedScenarios() []scenario {
	return []scenario{
		{
			name: "asked twice",
			steps: []step{
				{
					asked:  "create 42.00 USD",
					body:   createBody(42_00, "USD", "pm_card_visa", messages.CaptureAutomatic),
					key:    "once",
					events: createdAnd(messages.EventPaymentCaptured),
				},
				{asked: "the same message again", again: true},
				{
					asked: "the same key in a new message",
					body:  createBody(42_00, "USD", "pm_card_visa", messages.CaptureAutomatic),
					key:   "once",
				},
			},
			want: expected{status: messages.StatusCaptured, authorized: 42_00, captured: 42_00, effects: 1},
		},
		{
			name: "key used twice",
			steps: []step{
				{
					asked:  "create 42.00 USD",
					body:   createBody(42_00, "USD", "pm_card_visa", messages.CaptureAutomatic),
					key:    "order",
					events: createdAnd(messages.EventPaymentCaptured),
				},
				{
					asked:  "the same key, now 43.00 USD",
					body:   createBody(43_00, "USD", "pm_card_visa", messages.CaptureAutomatic),
					key:    "order",
					events: refusedWith(messages.RejectIdempotencyConflict),
				},
			},
			want: expected{status: messages.StatusCaptured, authorized: 42_00, captured: 42_00, effects: 1},
		},
	}
}

func faultyScenarios() []scenario {
	return []scenario{
		{
			name: "timeout after charge",
			steps: []step{{
				asked: "create 75.00 USD; the answer never comes",
				body:  createBody(75_00, "USD", "sim_charge_then_timeout", messages.CaptureAutomatic),
				events: createdAnd(messages.EventPaymentOutcomeUnknown, messages.EventPaymentOutcomeResolved,
					messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 75_00, captured: 75_00, effects: 1},
		},
		{
			name: "error after charge",
			steps: []step{{
				asked:  "create 1.250 KWD; the answer is a 500",
				body:   createBody(1250, "KWD", "sim_500_after_charge", messages.CaptureAutomatic),
				events: createdAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 1250, captured: 1250, effects: 1},
		},
		{
			name: "captured too much",
			steps: []step{
				{
					asked:  "create 60.00 EUR, to be captured in parts",
					body:   createBody(60_00, "EUR", "sim_over_capture", messages.CaptureManualMultiple),
					events: createdAnd(messages.EventPaymentAuthorized),
				},
				{
					asked:  "capture 40.00; the gateway takes 44.00",
					body:   captureBody(40_00, true),
					events: emitted(messages.EventPaymentCaptured, messages.EventPaymentReviewOpened),
				},
				{
					asked:  "an operator compensates the 4.00",
					body:   &messages.Compensate{OperationID: "-2", Actor: "demo", Reason: "captured 4.00 too much"},
					events: emitted(messages.EventPaymentCompensated),
				},
			},
			want: expected{
				status: messages.StatusCaptured, authorized: 60_00, captured: 40_00, released: 20_00, compensated: 4_00, effects: 3,
			},
		},
		{
			name: "no connection",
			steps: []step{{
				asked:  "create 8.00 USD; no connection",
				body:   createBody(8_00, "USD", "sim_dial_error", messages.CaptureAutomatic),
				events: createdAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 8_00, captured: 8_00, effects: 1},
		},
	}
}

// rubbish holds messages that are no commands: each must become a dead letter with its reason, and
// the workers must continue.
func rubbish() scenario {
	return scenario{
		name: "rubbish",
		steps: []step{
			{asked: "create, not in JSON", raw: &rawCommand{verb: "create", body: "one hundred dollars, please"}, letter: messages.CodeInvalidJSON},
			{
				asked:  "create with a field amount",
				raw:    &rawCommand{verb: "create", body: `{"amount":19.99,"currency":"USD","payment_method":"pm_card_visa"}`},
				letter: messages.CodeUnknownField,
			},
			{
				asked:  "create with a card number",
				raw:    &rawCommand{verb: "create", body: `{"amount_minor":1999,"currency":"USD","payment_method":"4242 4242 4242 4242"}`},
				letter: messages.CodeCardNumberPresent,
			},
			{asked: "an unknown command", raw: &rawCommand{verb: "reverse", body: `{}`}, letter: messages.CodeUnknownCommand},
		},
		want: expected{status: messages.StatusNone},
	}
}

func createBody(amountMinor int64, currency, paymentMethod string, method messages.CaptureMethod) *messages.Create {
	return &messages.Create{AmountMinor: amountMinor, Currency: currency, PaymentMethod: paymentMethod, CaptureMethod: method}
}

func captureBody(amountMinor int64, final bool) *messages.Capture {
	return &messages.Capture{AmountMinor: &amountMinor, Final: final}
}

func refundBody(amountMinor int64) *messages.Refund {
	return &messages.Refund{AmountMinor: &amountMinor, Reason: messages.RefundRequestedByCustomer}
}

// webhookFirst is captured by the gateway's webhook; the answer comes later and changes nothing.
func webhookFirst() scenario {
	return scenario{
		name: "webhook first",
		steps: []step{{
			asked:  "create 31.00 EUR; its webhook beats the answer",
			body:   createBody(31_00, "EUR", "sim_webhook_first", messages.CaptureAutomatic),
			events: append(createdAnd(), happening{Type: messages.EventPaymentCaptured, Webhook: true}),
		}},
		want: expected{status: messages.StatusCaptured, authorized: 31_00, captured: 31_00, effects: 1, at: demoTeller},
	}
}

// outageScenarios play while the first gateway goes down and comes back. Their payments are many
// enough to open the breaker of an instance.
func outageScenarios() []scenario {
	return []scenario{
		{
			name: "gateway down", times: 40,
			steps: []step{{
				asked: "create 12.00 USD; may fail over", act: actDown,
				body:   mayFailOver(createBody(12_00, "USD", "pm_card_visa", messages.CaptureAutomatic)),
				events: failedOverAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 12_00, captured: 12_00, effects: 1, at: demoSecond},
		},
		{
			name: "refund parked", times: 4,
			steps: []step{
				{
					asked:  "create 20.00 USD, before",
					body:   mayFailOver(createBody(20_00, "USD", "pm_card_visa", messages.CaptureAutomatic)),
					events: createdAnd(messages.EventPaymentCaptured),
				},
				{
					asked: "refund 20.00, meanwhile", act: actDown, parks: true, body: refundBody(20_00),
					events: emitted(messages.EventRefundCreated, messages.EventPaymentParked, messages.EventRefundSucceeded),
				},
			},
			want: expected{status: messages.StatusRefunded, authorized: 20_00, captured: 20_00, refunded: 20_00, effects: 2},
		},
		{
			name: "capture parked", times: 4,
			steps: []step{
				{
					asked:  "create 35.00 EUR, to be captured later, before",
					body:   mayFailOver(createBody(35_00, "EUR", "pm_card_mastercard", messages.CaptureManual)),
					events: createdAnd(messages.EventPaymentAuthorized),
				},
				{
					asked: "capture 35.00, meanwhile", act: actDown, parks: true, body: captureBody(35_00, true),
					events: emitted(messages.EventPaymentParked, messages.EventPaymentCaptured),
				},
			},
			want: expected{status: messages.StatusCaptured, authorized: 35_00, captured: 35_00, effects: 2},
		},
		{
			name: "gateway back",
			steps: []step{{
				asked: "create 12.00 USD, after", act: actAfter,
				body:   mayFailOver(createBody(12_00, "USD", "pm_card_visa", messages.CaptureAutomatic)),
				events: createdAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 12_00, captured: 12_00, effects: 1},
		},
	}
}

// mayFailOver marks a payment for the rule that permits failover.
func mayFailOver(create *messages.Create) *messages.Create {
	create.Metadata = map[string]string{"failover": "allowed"}
	return create
}

// failedOverAnd are the events of a payment that provably never reached its first gateway.
func failedOverAnd(kinds ...messages.EventType) []happening {
	events := createdAnd(messages.EventPaymentRouted)
	events[len(events)-1].Reason = messages.FailoverNotSent
	return append(events, emitted(kinds...)...)
}
