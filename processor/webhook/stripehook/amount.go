package stripehook

import (
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/messages"
)

// minor converts an amount in Stripe's unit to ISO 4217 minor units. Stripe counts ISK and UGX in hundredths and MGA without decimals
// (https://docs.stripe.com/currencies); the rest as ISO does. It is the way back of what package stripegw does with operations.
func minor(amount int64, currency string) (int64, error) {
	code := strings.ToUpper(currency)
	if _, known := messages.Exponent(code); !known || amount < 0 || amount > markMax {
		return 0, fmt.Errorf("an amount of %d %q is none", amount, currency)
	}
	switch code {
	case "ISK", "UGX":
		if amount%100 != 0 {
			return 0, fmt.Errorf("an amount of %d hundredths of %s can't be", amount, code)
		}
		return amount / 100, nil
	case "MGA":
		return amount * 100, nil
	default:
		return amount, nil
	}
}
