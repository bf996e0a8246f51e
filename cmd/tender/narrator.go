package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// eventJSON returns an event as it is on the bus.
func eventJSON(e messages.Event) (json.RawMessage, error) {
	body, err := messages.EncodeEventBody(e)
	if err != nil {
		return nil, fmt.Errorf("show event %s: %w", messages.EventMessageID(e), err)
	}
	return body, nil
}

// narrator describes events. Only the event that creates a payment names the currency, so the
// narrator has to know it; without one it shows amounts in minor units.
type narrator struct{ currency string }

// narratorOf finds the currency in a history.
func narratorOf(history []messages.Event) narrator {
	for _, e := range history {
		if created, ok := e.Data.(*messages.PaymentCreated); ok {
			return narrator{created.Currency}
		}
	}
	return narrator{}
}

// describe returns the details of an event in a few words.
func (n narrator) describe(e messages.Event) string {
	switch d := e.Data.(type) {
	case *messages.PaymentCreated:
		return join(term.Amount(d.AmountMinor, d.Currency), string(d.CaptureMethod)+" capture", d.PaymentMethod)
	case *messages.PaymentRouted:
		return join("to "+d.Gateway, attempt(d.Attempt), byRule(d.Rule), d.Reason)
	case *messages.PaymentActionRequired:
		return join(d.NextAction.Type, d.NextAction.URL, "before "+term.Moment(d.ConfirmBefore))
	case *messages.PaymentAuthorized:
		return join(n.amount(d.AmountMinor), n.some("excess", d.AmountExcessMinor), "capture before "+term.Moment(d.CaptureBefore))
	case *messages.PaymentDeclined:
		return join(d.Code, string(d.RecommendedAction), next(term.Moment(d.RetryAt)))
	case *messages.PaymentOutcomeUnknown:
		return join(string(d.Kind)+" of "+n.amount(d.AmountMinor), d.Detail, next(term.Moment(d.NextCheckAt)))
	case *messages.PaymentOutcomeResolved:
		return join(string(d.Kind)+" "+string(d.Outcome), n.some("moved", d.AmountMinor), accepted(d.Accepted), "by "+d.ResolvedBy, d.Actor, d.Reason)
	case *messages.PaymentCaptured:
		return join(n.amount(d.AmountMinor), n.some("excess", d.AmountExcessMinor), n.some("released", d.AmountReleasedMinor))
	case *messages.PaymentCaptureFailed:
		return join(n.amount(d.AmountMinor), failure(d.Failure))
	case *messages.PaymentCaptureReversed:
		return join(n.amount(d.AmountMinor), n.some("excess", d.AmountExcessMinor), failure(d.Failure), "captured now "+n.amount(d.AmountCapturedMinor),
			n.some("short", d.AmountShortfallMinor))
	case *messages.PaymentVoided:
		return join(n.some("released", d.AmountReleasedMinor), d.Reason)
	case *messages.PaymentVoidFailed:
		return failure(d.Failure)
	case *messages.PaymentExpiring:
		return join(n.amount(d.AmountCapturableMinor), "capture before "+term.Moment(d.CaptureBefore))
	case *messages.PaymentExpired:
		return join(d.Expired, n.some("released", d.AmountReleasedMinor))
	case *messages.PaymentFailed:
		return failure(d.Failure)
	case *messages.PaymentParked:
		return join(string(d.Kind), d.Detail, next(term.Moment(d.RetryAt)))
	case *messages.PaymentReviewOpened:
		return join(string(d.Kind), d.OperationID, d.Reason, n.some("excess", d.AmountExcessMinor), d.Detail)
	case *messages.PaymentProcessing:
		return join(string(d.Kind)+" of "+n.amount(d.AmountMinor), "at "+d.Gateway)
	case *messages.PaymentConfirmFailed:
		return failure(d.Failure)
	case *messages.PaymentCompensated:
		return join(string(d.Kind)+" of "+n.amount(d.AmountMinor), "for "+d.CompensatesOperationID)
	case *messages.PaymentCompensationFailed:
		return join(string(d.Kind)+" of "+n.amount(d.AmountMinor), "for "+d.CompensatesOperationID, failure(d.Failure))
	default:
		return n.describeRest(e)
	}
}

func accepted(yes bool) string {
	if yes {
		return "accepted as it is"
	}
	return ""
}

// describeRest describes the events that are not about the payment itself.
func (n narrator) describeRest(e messages.Event) string {
	switch d := e.Data.(type) {
	case *messages.RefundCreated:
		return join(n.amount(d.AmountMinor), string(d.Reason))
	case *messages.RefundSucceeded:
		return join(n.amount(d.AmountMinor), n.some("excess", d.AmountExcessMinor), "of "+n.amount(d.AmountRefundedMinor)+" in all")
	case *messages.RefundFailed:
		return join(n.amount(d.AmountMinor), failure(d.Failure))
	case *messages.Dispute:
		return join(n.amount(d.AmountMinor), d.Reason)
	case *messages.CommandRejected:
		return join(string(d.Command), string(d.Code), d.Message)
	case *messages.OperationDeclined:
		return join(d.Code, "at "+d.Gateway)
	case *messages.OperationSent:
		return join(string(d.Kind)+" of "+n.amount(d.AmountMinor), string(d.Purpose), "to "+d.Gateway, attempt(d.Attempt))
	case *messages.OperationNotSent:
		return join(d.Detail, next(term.Moment(d.RetryAt)))
	case *messages.OperationClosed:
		return "at " + d.Gateway
	case *messages.OperationChecked:
		return join(string(d.Outcome), d.Detail, next(term.Moment(d.NextCheckAt)))
	default:
		return ""
	}
}

// byRule names a routing rule, and "" for the default rule.
func byRule(rule string) string {
	if rule == "" || rule == routing.RuleDefault {
		return ""
	}
	return "by rule " + rule
}

// join joins the parts that are not empty with commas.
func join(parts ...string) string {
	var said []string
	for _, part := range parts {
		if part != "" {
			said = append(said, part)
		}
	}
	return strings.Join(said, ", ")
}

func failure(f messages.Failure) string { return join(f.Code, f.Message) }

func attempt(a messages.Attempt) string { return fmt.Sprintf("attempt %d", a.Attempt) }

func (n narrator) amount(amountMinor int64) string {
	if n.currency == "" {
		return fmt.Sprint(amountMinor, " minor units")
	}
	return term.Amount(amountMinor, n.currency)
}

func (n narrator) some(verb string, amountMinor int64) string {
	if amountMinor == 0 {
		return ""
	}
	return verb + " " + n.amount(amountMinor)
}

func next(at string) string {
	if at == "" {
		return ""
	}
	return "next at " + at
}
