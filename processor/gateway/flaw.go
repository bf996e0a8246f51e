package gateway

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// flaw names the contradiction in the answer to a call, "" if there is none. A flawed answer is no
// answer: an implementation that contradicts itself has proven nothing.
func flaw(c call, o messages.Outcome) string {
	if o.AmountMinor < 0 {
		return "a negative amount"
	}
	if o.Decline != nil && o.Kind != messages.OutcomeDeclined {
		return fmt.Sprintf("%s with a decline", o.Kind)
	}
	if o.NextAction != nil && o.Kind != messages.OutcomeRequiresAction {
		return fmt.Sprintf("%s with a next action", o.Kind)
	}
	switch o.Kind {
	case messages.OutcomeSucceeded:
		if c.op.Kind == messages.OperationAuthorize && o.GatewayReference == "" {
			return "an authorization without a reference"
		}
		return ""
	case messages.OutcomeDeclined:
		return declineFlaw(o.Decline)
	case messages.OutcomeRequiresAction:
		return actionFlaw(c.op.Kind, o)
	case messages.OutcomePending, messages.OutcomeNotSent, messages.OutcomeUnknown:
		return ""
	case messages.OutcomeNotFound:
		if !c.lookup {
			return "not_found to a request that was not a lookup"
		}
		return ""
	default:
		return fmt.Sprintf("unknown outcome %q", o.Kind)
	}
}

func declineFlaw(d *messages.Decline) string {
	switch {
	case d == nil:
		return "declined without a decline"
	case d.Code == "":
		return "a decline without a code"
	}
	switch d.Class {
	case messages.DeclineNeverRetry, messages.DeclineFixData, messages.DeclineStepUp, messages.DeclineSoft, messages.DeclineLookUpFirst:
		return ""
	default:
		return fmt.Sprintf("unknown decline class %q", d.Class)
	}
}

func actionFlaw(kind messages.OperationKind, o messages.Outcome) string {
	switch {
	case kind != messages.OperationAuthorize && kind != messages.OperationConfirm:
		return fmt.Sprintf("requires_action to a %s", kind)
	case o.NextAction == nil || o.NextAction.Type == "":
		return "requires_action without the action"
	case o.GatewayReference == "":
		return "requires_action without a reference to confirm"
	default:
		return ""
	}
}
