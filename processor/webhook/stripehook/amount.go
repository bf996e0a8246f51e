package stripehook

import (
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// minor converts an amount in Stripe's unit to ISO 4217 minor units.
func minor(amount int64, currency string) (int64, error) {
	converted, ok := stripegw.FromStripe(amount, strings.ToUpper(currency))
	if !ok {
		return 0, fmt.Errorf("an amount of %d %q is none", amount, currency)
	}
	return converted, nil
}
