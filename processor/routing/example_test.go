package routing_test

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/routing"
)

// Rules are read whole, choose the same gateway for the same payment every time, and say why.
func Example() {
	rules, err := routing.Parse([]byte(`
version: 1
rules:
  - name: large-euro
    match: {currency: EUR, amount_minor_min: 100000}
    to: [{gateway: primary}]
  - name: everything-else
    to:
      - {gateway: primary, weight: 99}
      - {gateway: candidate, weight: 1}
`), routing.SharedVault("candidate", "primary"))
	if err != nil {
		fmt.Println(err)
		return
	}
	e := rules.Explain(routing.Facts{
		PaymentID: uuid.MustParse("01980000-0000-7000-8000-000000000001"), Tenant: "acme",
		AmountMinor: 1999, Currency: "EUR", PaymentMethod: "pm_card_visa",
	})
	for _, rule := range e.Rules {
		fmt.Printf("%s: %t %q\n", rule.Rule, rule.Matched, rule.Reason)
	}
	fmt.Println(e.Route.Gateway, "then", e.Route.Fallbacks)

	_, err = routing.Parse([]byte("version: 1\nrules:\n  - name: all\n    to: [{gateway: primray}]\n"), routing.SharedVault("candidate", "primary"))
	fmt.Println(err)
	// Output:
	// large-euro: false "amount is 1999, below 100000"
	// everything-else: true ""
	// primary then [candidate]
	// line 4, column 20: no gateway is named "primray", only candidate, primary
}
