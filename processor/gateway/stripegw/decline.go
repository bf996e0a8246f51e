package stripegw

import (
	"encoding/json"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// DeclineFacts are Stripe's words about a decline, in an error, as a PaymentIntent's last error or
// in a webhook. stripe-go's own type lacks the network's codes and Stripe's advice.
type DeclineFacts struct {
	Code               string `json:"code"`
	DeclineCode        string `json:"decline_code"`
	AdviceCode         string `json:"advice_code"`
	NetworkDeclineCode string `json:"network_decline_code"`
	NetworkAdviceCode  string `json:"network_advice_code"`
}

// Decline classifies the facts. The issuer's reason says most; without one the code counts, which
// is then about the card's data, such as expired_card.
func (f DeclineFacts) Decline() messages.Decline {
	code := f.DeclineCode
	if code == "" && f.Code != string(stripe.ErrorCodeCardDeclined) {
		code = f.Code
	}
	d := gateway.ClassifyDecline(code, f.NetworkDeclineCode, f.NetworkAdviceCode)
	if code == string(stripe.ErrorCodePaymentIntentAuthenticationFailure) {
		// The customer could not prove who they are: with this card it will not work.
		d.Class, d.RecommendedAction = messages.DeclineFixData, messages.ActionRetryWithDifferentMethod
	}
	f.advise(&d)
	return d
}

// advise applies Stripe's own advice, where it forbids more or says more than the codes
// (https://docs.stripe.com/declines/codes).
func (f DeclineFacts) advise(d *messages.Decline) {
	switch f.AdviceCode {
	case "do_not_try_again":
		if d.Class != messages.DeclineLookUpFirst && d.Class != messages.DeclineNeverRetry {
			d.Class, d.RecommendedAction = messages.DeclineNeverRetry, messages.ActionDoNotRetry
		}
	case "confirm_card_data":
		if d.Class == messages.DeclineSoft && f.NetworkAdviceCode == "" {
			d.RecommendedAction = messages.ActionRetryAfterInstrumentUpdate
		}
	case "try_again_later":
		if d.Class == messages.DeclineSoft && f.NetworkAdviceCode == "" {
			d.RecommendedAction = messages.ActionRetryLater
		}
	}
}

// declinedCard is the outcome of a decline that came as an error.
func declinedCard(e *stripe.Error) messages.Outcome {
	var body struct {
		Error DeclineFacts `json:"error"`
	}
	if e.LastResponse == nil || json.Unmarshal(e.LastResponse.RawJSON, &body) != nil {
		return unknown("Stripe's decline cannot be read")
	}
	d := body.Error.Decline()
	o := messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d}
	if e.PaymentIntent != nil {
		o.GatewayReference = e.PaymentIntent.ID
	}
	return o
}

// declinedIntent is the outcome of a decline that is read from the PaymentIntent. One that waits
// for a payment method without an error has not been tried, which is no decline.
func declinedIntent(pi *stripe.PaymentIntent) messages.Outcome {
	var body struct {
		LastPaymentError *DeclineFacts `json:"last_payment_error"`
	}
	if pi.LastResponse == nil || json.Unmarshal(pi.LastResponse.RawJSON, &body) != nil || body.LastPaymentError == nil {
		return unknown("the PaymentIntent waits for a payment method and does not say why")
	}
	d := body.LastPaymentError.Decline()
	return messages.Outcome{Kind: messages.OutcomeDeclined, GatewayReference: pi.ID, Decline: &d}
}

// declined refuses an operation with a code of Tender's vocabulary.
func declined(code, detail string) messages.Outcome {
	d := gateway.ClassifyDecline(code, "", "")
	return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d, Detail: detail}
}
