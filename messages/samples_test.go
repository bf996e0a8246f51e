package messages_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// sampleCommands returns one command of every kind with every field set, and the shortest of those
// that have one.
func sampleCommands() []messages.Command {
	amount := int64(1250)
	bodies := []messages.CommandBody{
		&messages.Create{
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: messages.CaptureManualMultiple,
			CustomerID: "cus_18342", MerchantReference: "order 2026-001834", Country: "DE",
			Metadata: map[string]string{"basket": "7", "note": "Grüße & <thanks>"},
			Retry:    &messages.Retry{MaxAttempts: 4, Until: sampleTime().Add(72 * time.Hour)},
		},
		&messages.Confirm{PaymentMethod: "pm_card_mastercard"},
		&messages.Capture{AmountMinor: &amount, Final: true},
		&messages.Void{Reason: "the customer changed their mind"},
		&messages.Refund{AmountMinor: &amount, Reason: messages.RefundRequestedByCustomer},
		&messages.Resume{DueAt: sampleTime().Add(time.Minute), Now: true},
		&messages.Resolve{
			OperationID: paymentIDText + "-1", Outcome: messages.ResolvedSucceeded, AmountMinor: &amount, Actor: "ada@example.com",
			Reason: "seen in the acquirer's portal", Evidence: "https://portal.example/tx/991", GatewayReference: "ch_991",
		},
		&messages.Compensate{
			OperationID: paymentIDText + "-1", AmountMinor: &amount, Actor: "ada@example.com", Reason: "charged by two gateways",
		},
		&messages.Notify{
			Gateway: "primary", EventID: "evt_1", Kind: messages.NotifyOutcome, OccurredAt: sampleTime(),
			OperationID: paymentIDText + "-1", GatewayReference: "ch_1", AmountMinor: 1999,
			Outcome: messages.OutcomeDeclined, CaptureBefore: sampleTime(), DeclineCode: "do_not_honor",
			DeclineClass: messages.DeclineSoft, NextActionType: "redirect", NextActionURL: "https://bank.example/3ds",
			NextActionSecret: "pi_1_secret_2",
			DisputeID:        "dp_1", DisputeStatus: "opened", RespondBefore: sampleTime(), Reason: "general",
		},
		&messages.Create{AmountMinor: 1, Currency: "JPY", PaymentMethod: "pm_card_visa", CaptureMethod: messages.CaptureAutomatic},
		&messages.Confirm{},
		&messages.Capture{},
		&messages.Void{},
		&messages.Refund{},
		&messages.Resume{},
		&messages.Resolve{OperationID: paymentIDText + "-1", Outcome: messages.ResolvedFailed, Actor: "ada", Reason: "not in the portal"},
		&messages.Compensate{OperationID: paymentIDText + "-1", Actor: "ada", Reason: "charged twice"},
		&messages.Notify{Gateway: "primary", EventID: "evt_2", Kind: messages.NotifyReversal},
	}
	commands := make([]messages.Command, len(bodies))
	for i, body := range bodies {
		commands[i] = messages.Command{
			ID: "0198f3a2-8000-7000-8000-000000000001", Tenant: "acme", PaymentID: uuid.MustParse(paymentIDText),
			IdempotencyKey: "order-42", CorrelationID: "basket-7",
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Body:        body,
		}
		if body.CommandName() == messages.CommandResume {
			commands[i].IdempotencyKey = ""
		}
	}
	return commands
}

func sampleTime() time.Time { return time.Date(2026, 7, 12, 9, 30, 5, 123_456_000, time.UTC) }

// sampleEvents returns one event of every type with every field set.
func sampleEvents() []messages.Event {
	var events []messages.Event
	for i, data := range append(samplePaymentData(), sampleOtherData()...) {
		events = append(events, messages.Event{
			PaymentID: uuid.MustParse(paymentIDText), Tenant: "acme", Version: int64(i + 1), OccurredAt: sampleTime(),
			Status: messages.StatusAuthorized, CorrelationID: "basket-7", CausationID: "create:order-42",
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Data:        data,
		})
	}
	return events
}

// chainedEvent is an event that follows another one.
func chainedEvent() messages.Event {
	events := sampleEvents()
	i := slices.IndexFunc(events, func(e messages.Event) bool { return e.Type() == messages.EventPaymentCaptured })
	e := events[i]
	e.PreviousHash = messages.EventHash(events[i-1].Traceparent, fmt.Appendf(nil, `{"version":%d}`, i))
	return e
}

func sampleCheckpoint() messages.Checkpoint {
	return messages.Checkpoint{
		Number: 2, FromPosition: 1500, ToPosition: 1523, Events: 23, Payments: 4,
		Root: messages.EventHash("", []byte("root")), PreviousHash: messages.EventHash("", []byte("previous")),
		CreatedAt: sampleTime(),
	}
}

func sampleAttempt() messages.Attempt {
	return messages.Attempt{OperationID: paymentIDText + "-1", Gateway: "primary", Attempt: 2, Tries: 3, LatencyMS: 412}
}

func sampleEffort() messages.Effort { return messages.Effort{Attempt: 2, Tries: 3, LatencyMS: 412} }

func sampleFailure() messages.Failure {
	return messages.Failure{Code: "insufficient_funds", Class: messages.DeclineSoft, Message: "Insufficient funds."}
}

func samplePaymentData() []messages.EventData {
	later := sampleTime().Add(7 * 24 * time.Hour)
	return []messages.EventData{
		&messages.PaymentCreated{
			AmountMinor: 1999, Currency: "USD", Exponent: 2, CaptureMethod: messages.CaptureManual, PaymentMethod: "pm_card_visa",
			CustomerID: "cus_18342", MerchantReference: "order 2026-001834", Country: "DE",
			Metadata: map[string]string{"basket": "7", "note": "Grüße & <thanks>"},
			Retry:    &messages.Retry{MaxAttempts: 4, Until: later},
		},
		&messages.PaymentRouted{
			Attempt: sampleAttempt(), Rule: "default", AmountMinor: 1999, PaymentMethod: "pm_card_visa",
			PreviousOperationID: paymentIDText + "-0", Reason: messages.FailoverRefused,
		},
		&messages.PaymentParked{Attempt: sampleAttempt(), Kind: messages.OperationAuthorize, Detail: "breaker is open", RetryAt: later},
		&messages.PaymentProcessing{
			Attempt: sampleAttempt(), Kind: messages.OperationRefund, AmountMinor: 500, GatewayReference: "re_1",
			NextCheckAt: later,
		},
		&messages.PaymentConfirmFailed{Attempt: sampleAttempt(), Failure: sampleFailure()},
		&messages.PaymentActionRequired{
			Attempt: sampleAttempt(), GatewayReference: "ch_1", ConfirmBefore: later,
			NextAction: messages.NextAction{Type: "redirect", URL: "https://bank.example/3ds?a=1&b=2", ClientSecret: "pi_1_secret_2"},
		},
		&messages.PaymentAuthorized{
			Attempt: sampleAttempt(), AmountMinor: 1999, AmountExcessMinor: 1, GatewayReference: "ch_1", CaptureBefore: later,
			WarnAt: sampleTime(),
		},
		&messages.PaymentDeclined{Attempt: sampleAttempt(), Decline: messages.Decline{
			Code: "insufficient_funds", Class: messages.DeclineSoft, NetworkDeclineCode: "51", NetworkAdviceCode: "24",
			RecommendedAction: messages.ActionRetryAfter1Hour,
		}, RetryAt: later},
		&messages.PaymentOutcomeUnknown{
			Attempt: sampleAttempt(), Kind: messages.OperationAuthorize, AmountMinor: 1999, Detail: "timeout after sending",
			NextCheckAt: later, Claimed: true, Refused: &messages.Decline{
				Code: "already_captured", Class: messages.DeclineFixData, NetworkDeclineCode: "12", NetworkAdviceCode: "03",
				RecommendedAction: messages.ActionDoNotRetry,
			},
		},
		&messages.PaymentOutcomeResolved{
			Attempt: sampleAttempt(), Kind: messages.OperationAuthorize, Outcome: messages.OutcomeSucceeded, AmountMinor: 1250,
			Accepted: true, ResolvedBy: "operator",
			Actor: "ada@example.com", Reason: "seen in the acquirer's portal", Evidence: "https://portal.example/tx/991",
		},
		&messages.PaymentCaptured{
			Attempt: sampleAttempt(), AmountMinor: 1250, AmountExcessMinor: 100, AmountCapturedMinor: 1250, AmountCapturableMinor: 50,
			Final: true, GatewayReference: "cap_1", AmountReleasedMinor: 699,
		},
		&messages.PaymentCaptureFailed{Attempt: sampleAttempt(), Failure: sampleFailure(), AmountMinor: 1250},
		&messages.PaymentCaptureReversed{
			Attempt: sampleAttempt(), Failure: sampleFailure(), AmountMinor: 1250, AmountExcessMinor: 100, AmountCapturedMinor: 749,
			AmountShortfallMinor: 500,
		},
		&messages.PaymentVoided{
			OperationID: paymentIDText + "-2", Gateway: "primary", Effort: sampleEffort(), AmountReleasedMinor: 1999, Reason: "out of stock",
		},
		&messages.PaymentVoidFailed{Attempt: sampleAttempt(), Failure: sampleFailure()},
		&messages.PaymentExpiring{AmountCapturableMinor: 1250, CaptureBefore: later},
		&messages.PaymentExpired{
			OperationID: paymentIDText + "-2", Gateway: "primary", Effort: sampleEffort(), AmountReleasedMinor: 1999,
			Expired: messages.ExpiredAction,
		},
		&messages.PaymentFailed{OperationID: paymentIDText + "-1", Gateway: "primary", Effort: sampleEffort(), Failure: sampleFailure()},
		&messages.PaymentReviewOpened{
			Attempt: sampleAttempt(), Kind: messages.OperationCapture, Reason: messages.ReviewContradiction, Detail: "two answers",
			AmountExcessMinor: 1999, GatewayReference: "cap_1", Claimed: true,
		},
		&messages.PaymentCompensated{
			Attempt: sampleAttempt(), CompensatesOperationID: paymentIDText + "-1", Kind: messages.OperationRefund, AmountMinor: 1999,
			GatewayReference: "re_1",
		},
		&messages.PaymentCompensationFailed{
			Attempt: sampleAttempt(), Failure: sampleFailure(), CompensatesOperationID: paymentIDText + "-1",
			Kind: messages.OperationVoid, AmountMinor: 1999,
		},
	}
}

func sampleOtherData() []messages.EventData {
	later := sampleTime().Add(time.Hour)
	data := []messages.EventData{
		&messages.RefundCreated{
			Attempt: sampleAttempt(), TargetOperationID: paymentIDText + "-0", AmountMinor: 500, Reason: messages.RefundDuplicate,
		},
		&messages.RefundSucceeded{
			Attempt: sampleAttempt(), AmountMinor: 500, AmountExcessMinor: 20, AmountRefundedMinor: 750, GatewayReference: "re_1",
		},
		&messages.RefundFailed{Attempt: sampleAttempt(), Failure: sampleFailure(), AmountMinor: 500},
		&messages.CommandRejected{
			Command: messages.CommandCapture, Code: messages.RejectAmountExceedsCapturable, Message: "5000 exceeds the capturable 1999",
			IdempotencyKey: "capture-1", OriginalPaymentID: uuid.MustParse("0198f3a2-7c1e-7b44-9a55-000000000001"),
		},
		&messages.OperationSent{
			Attempt: sampleAttempt(), Kind: messages.OperationCapture, TargetOperationID: paymentIDText + "-0", AmountMinor: 1250,
			Final: true, Reason: "requested_by_customer", Purpose: messages.PurposeCompensate,
		},
		&messages.OperationNotSent{Attempt: sampleAttempt(), Detail: "connection refused", RetryAt: later},
		&messages.OperationDeclined{Attempt: sampleAttempt(), Decline: messages.Decline{
			Code: "do_not_honor", Class: messages.DeclineSoft, NetworkDeclineCode: "05", NetworkAdviceCode: "02",
			RecommendedAction: messages.ActionRetryLater,
		}},
		&messages.OperationClosed{Attempt: sampleAttempt()},
		&messages.OperationChecked{Attempt: sampleAttempt(), Outcome: messages.OutcomeNotFound, Detail: "no such operation", NextCheckAt: later},
	}
	for _, t := range []messages.EventType{
		messages.EventDisputeOpened, messages.EventDisputeChallenged, messages.EventDisputeAccepted, messages.EventDisputeExpired,
		messages.EventDisputeCanceled, messages.EventDisputeWon, messages.EventDisputeLost,
	} {
		data = append(data, &messages.Dispute{
			Type: t, DisputeID: "dp_1", OperationID: paymentIDText + "-1", AmountMinor: 1250, Reason: "product_not_received", RespondBefore: later,
			Gateway: "primary", GatewayReference: "dp_1_ref",
		})
	}
	return data
}
