package stripegw

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// unit is Stripe's unit of a currency, compared with ISO 4217: its amount is ISO's in minor units,
// divided by over and multiplied by times. ISO's must be a multiple of step.
type unit struct{ times, over, step int64 }

// unitOf is the table of https://docs.stripe.com/currencies, as of API version 2026-03-25. It is
// false for a currency whose unit at Stripe is not documented: guessing could be wrong by a factor
// of ten or more.
func unitOf(currency string) (unit, bool) {
	exponent, known := messages.Exponent(currency)
	if !known {
		return unit{}, false
	}
	switch currency {
	case "ISK", "UGX":
		// Without decimals in ISO 4217, kept with two by Stripe for the sake of older clients.
		return unit{times: 100, over: 1, step: 1}, true
	case "MGA":
		// Two decimals in ISO 4217 (a fifth, really), none at Stripe.
		return unit{times: 1, over: 100, step: 1}, true
	case "BHD", "JOD", "KWD", "OMR", "TND":
		return unit{times: 1, over: 1, step: 10}, true
	case "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF":
		return unit{times: 1, over: 1, step: 1}, true
	default:
		// Stripe does not offer the other currencies without two decimals: UYI, IQD, LYD, CLF,
		// UYW.
		return unit{times: 1, over: 1, step: 1}, exponent == 2
	}
}

// amountMax is more than any amount in any unit, and small enough to calculate with.
const amountMax = 100 * messages.AmountMinorMax

// toStripe converts an amount in ISO's minor units to Stripe's. It refuses an amount that cannot
// be converted exactly.
func toStripe(amountMinor int64, currency string) (int64, *refusal) {
	u, known := unitOf(currency)
	if !known {
		return 0, &refusal{code: "currency_not_supported", detail: fmt.Sprintf("Stripe's unit of %q is not known", currency)}
	}
	if amountMinor <= 0 || amountMinor > messages.AmountMinorMax {
		return 0, invalid(fmt.Sprintf("an amount of %d is out of range", amountMinor))
	}
	if step := max(u.over, u.step); amountMinor%step != 0 {
		return 0, invalid(fmt.Sprintf("Stripe takes %s in multiples of %d minor units", currency, step))
	}
	return amountMinor / u.over * u.times, nil
}

// FromStripe converts an amount in Stripe's unit to ISO 4217 minor units, false if that is not
// possible exactly or Stripe's unit of the currency is not known. The currency is in upper case.
func FromStripe(amount int64, currency string) (int64, bool) {
	u, known := unitOf(currency)
	if !known || amount < 0 || amount > amountMax || amount%u.times != 0 {
		return 0, false
	}
	amountMinor := amount / u.times * u.over
	return amountMinor, amountMinor <= messages.AmountMinorMax
}
