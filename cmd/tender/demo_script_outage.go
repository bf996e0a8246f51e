package main

import "github.com/seed-384b1f8a/tender/messages"

// webhookFirst is captured on the gateway's own word: its answer comes later, and changes nothing.
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

// outageScenarios are about the first gateway going down and coming back. There are enough payments that the breaker of every
// instance hears of it.
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

// mayFailOver marks a payment for the rule that lets it turn to another gateway.
func mayFailOver(create *messages.Create) *messages.Create {
	create.Metadata = map[string]string{"failover": "allowed"}
	return create
}

// failedOverAnd are the events of a payment that its first gateway provably never heard of.
func failedOverAnd(kinds ...messages.EventType) []happening {
	events := createdAnd(messages.EventPaymentRouted)
	events[len(events)-1].Reason = messages.FailoverNotSent
	return append(events, emitted(kinds...)...)
}
