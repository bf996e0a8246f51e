package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// The bounds of a fault's number.
const (
	faultTimesMax = 1000
	slowMax       = 10 * time.Minute
)

// refundManner is the course of a payment's refunds.
type refundManner int

const (
	refundAtOnce refundManner = iota
	refundPending
	refundFails
)

// card is the meaning of a payment method.
type card struct {
	// declined is the code with which an authorization is declined, "" if it is approved.
	declined string
	// challenged says that an authorization requires the customer's action.
	challenged bool
	refund     refundManner
	// disputed says that a capture is disputed a moment later.
	disputed bool
	fault    fault
}

// faultKind is the name of a fault as it stands in the payment method.
type faultKind string

const (
	faultNone              faultKind = ""
	faultChargeThenTimeout faultKind = "sim_charge_then_timeout"
	faultTimeoutNoCharge   faultKind = "sim_timeout_no_charge"
	faultReset             faultKind = "sim_reset_mid_response"
	fault500AfterCharge    faultKind = "sim_500_after_charge"
	fault500NoCharge       faultKind = "sim_500_no_charge"
	fault429               faultKind = "sim_429"
	faultSlow              faultKind = "sim_slow"
	faultWrongAmount       faultKind = "sim_wrong_amount"
	faultOverCapture       faultKind = "sim_over_capture"
	faultDialError         faultKind = "sim_dial_error"
	faultWebhookFirst      faultKind = "sim_webhook_first"
	faultWebhookDuplicate  faultKind = "sim_webhook_duplicate"
	faultWebhookReordered  faultKind = "sim_webhook_reordered"
	faultCaptureReversed   faultKind = "sim_capture_reversed"
	faultAsync             faultKind = "sim_async"
	faultLapses            faultKind = "sim_lapses"
)

// fault is a fault of a payment method, and the requests that it befalls.
type fault struct {
	kind faultKind
	// on is the kind of operation that is befallen.
	on messages.OperationKind
	// times is the number of first requests for an operation that are befallen.
	times int
	// delay belongs to faultSlow and faultLapses.
	delay time.Duration
}

// befalls returns the fault of the nth request, from 1, for an operation of that kind.
func (f fault) befalls(kind messages.OperationKind, n int) faultKind {
	switch {
	case f.on != kind:
		return faultNone
	case f.kind == faultSlow || f.kind == faultWrongAmount:
		return f.kind
	case n > f.times:
		return faultNone
	default:
		return f.kind
	}
}

// always reports whether the fault befalls every request, so that a number makes no sense.
func (k faultKind) always() bool {
	switch k {
	case faultWrongAmount, faultOverCapture, faultWebhookDuplicate, faultWebhookReordered, faultCaptureReversed, faultAsync:
		return true
	default:
		return false
	}
}

// webhook returns the fault of the event about an operation of that kind.
func (f fault) webhook(kind messages.OperationKind) faultKind {
	if f.on != kind {
		return faultNone
	}
	return f.kind
}

// cardOf reads a payment method.
func cardOf(paymentMethod string) (card, error) {
	switch paymentMethod {
	case "pm_card_visa", "pm_card_mastercard":
		return card{}, nil
	case "pm_card_createDispute":
		return card{disputed: true}, nil
	case "pm_card_visa_chargeDeclined":
		return card{declined: "generic_decline"}, nil
	case "pm_card_visa_chargeDeclinedInsufficientFunds":
		return card{declined: "insufficient_funds"}, nil
	case "pm_card_visa_chargeDeclinedLostCard":
		return card{declined: "lost_card"}, nil
	case "pm_card_visa_chargeDeclinedStolenCard":
		return card{declined: "stolen_card"}, nil
	case "pm_card_chargeDeclinedExpiredCard":
		return card{declined: "expired_card"}, nil
	case "pm_card_chargeDeclinedIncorrectCvc":
		return card{declined: "incorrect_cvc"}, nil
	case "pm_card_chargeDeclinedProcessingError":
		return card{declined: "processing_error"}, nil
	case "pm_card_authenticationRequired", "pm_card_threeDSecure2Required":
		return card{challenged: true}, nil
	case "pm_card_pendingRefund":
		return card{refund: refundPending}, nil
	case "pm_card_refundFail":
		return card{refund: refundFails}, nil
	}
	if !strings.HasPrefix(paymentMethod, "sim_") {
		return card{}, fmt.Errorf("payment method %q is not one of the simulator's", paymentMethod)
	}
	f, err := faultOf(paymentMethod)
	if err != nil {
		return card{}, fmt.Errorf("payment method %q: %w", paymentMethod, err)
	}
	return card{fault: f, challenged: f.on == messages.OperationConfirm}, nil
}

// faultOf reads <name>[_<number>][@<kind>].
func faultOf(paymentMethod string) (fault, error) {
	name, on, aimed := strings.Cut(paymentMethod, "@")
	f := fault{on: messages.OperationAuthorize, times: 1}
	if aimed {
		f.on = messages.OperationKind(on)
	}
	switch f.on {
	case messages.OperationAuthorize, messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid, messages.OperationRefund:
	default:
		return fault{}, fmt.Errorf("no operation is called %q", on)
	}
	if f.kind = faultKind(name); known(f.kind) && f.kind != faultSlow && f.kind != faultLapses {
		switch {
		case aimed && (f.kind == faultCaptureReversed || f.kind == faultOverCapture):
			return fault{}, fmt.Errorf("%s befalls every capture and takes no kind", f.kind)
		case aimed && f.kind == faultAsync:
			return fault{}, fmt.Errorf("%s befalls every operation and takes no kind", f.kind)
		}
		return f, nil
	}
	base, digits, _ := cutLast(name, "_")
	f.kind = faultKind(base)
	number, err := strconv.Atoi(digits)
	if !known(f.kind) || err != nil {
		return fault{}, fmt.Errorf("no fault is called %q", name)
	}
	switch {
	case aimed && f.kind == faultLapses:
		return fault{}, fmt.Errorf("%s is about the authorization and takes no kind", f.kind)
	case f.kind == faultSlow || f.kind == faultLapses:
		f.delay = time.Duration(number) * time.Millisecond
		if number < 1 || number > int(slowMax.Milliseconds()) {
			return fault{}, fmt.Errorf("a time is 1 to %d ms", slowMax.Milliseconds())
		}
	case f.kind.always():
		return fault{}, fmt.Errorf("%s befalls every request and takes no number", f.kind)
	default:
		f.times = number
		if number < 1 || number > faultTimesMax {
			return fault{}, fmt.Errorf("a fault befalls the first 1 to %d requests", faultTimesMax)
		}
	}
	return f, nil
}

func known(k faultKind) bool {
	switch k {
	case faultChargeThenTimeout, faultTimeoutNoCharge, faultReset, fault500AfterCharge, fault500NoCharge, fault429, faultSlow,
		faultWrongAmount, faultOverCapture, faultDialError, faultWebhookFirst, faultWebhookDuplicate, faultWebhookReordered, faultCaptureReversed,
		faultAsync, faultLapses:
		return true
	default:
		return false
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
