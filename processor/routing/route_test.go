package routing_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// known are the gateways of the tests.
func known() routing.Gateways { return routing.SharedVault("backup", "candidate", "primary") }

// parse reads a set that must be taken.
func parse(t testing.TB, document string) *routing.Rules {
	t.Helper()
	rules, err := routing.Parse([]byte(document), known())
	if err != nil {
		t.Fatalf("the set is refused:\n%v\n%s", err, document)
	}
	return rules
}

// conditional is a set whose first rule has these conditions and leads to the primary; the rest
// goes to the backup.
func conditional(conditions string) string {
	return "version: 1\nrules:\n" +
		"  - {name: special, match: {" + conditions + "}, to: [{gateway: primary}]}\n" +
		"  - {name: rest, to: [{gateway: backup}]}\n"
}

func facts(change ...func(*routing.Facts)) routing.Facts {
	f := routing.Facts{
		PaymentID: uuid.MustParse("01980000-0000-7000-8000-000000000001"), Tenant: "acme", AmountMinor: 1999, Currency: "EUR",
		Country: "DE", PaymentMethod: "pm_card_visa", Metadata: map[string]string{"channel": "web", "shop": "north"},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

// TestMatch has one row for each condition and how it may fail; the reason is what explain says.
func TestMatch(t *testing.T) {
	t.Parallel()
	amount := func(n int64) func(*routing.Facts) { return func(f *routing.Facts) { f.AmountMinor = n } }
	bare := func(f *routing.Facts) { f.Country, f.Metadata = "", nil }
	for _, row := range []struct {
		conditions string
		change     func(*routing.Facts)
		reason     string // "" is a match
	}{
		{"tenant: acme", nil, ""},
		{"tenant: [other, acme]", nil, ""},
		{"tenant: other", nil, "tenant is acme, not other"},
		{"currency: EUR", nil, ""},
		{"currency: [USD, GBP]", nil, "currency is EUR, not USD or GBP"},
		{"country: DE", nil, ""},
		{"country: FR", nil, "country is DE, not FR"},
		{"country: DE", bare, "country is not given, not DE"},
		{"currency: EUR, amount_minor_min: 1999", nil, ""},
		{"currency: EUR, amount_minor_min: 2000", nil, "amount is 1999, below 2000"},
		{"currency: EUR, amount_minor_max: 1999", nil, ""},
		{"currency: EUR, amount_minor_max: 1998", nil, "amount is 1999, above 1998"},
		{"currency: EUR, amount_minor_min: 5, amount_minor_max: 5", amount(5), ""},
		{"currency: EUR, amount_minor_min: 5, amount_minor_max: 5", amount(6), "amount is 6, above 5"},
		{"payment_method: pm_card_visa", nil, ""},
		{"payment_method: pm_card", nil, "payment_method is pm_card_visa, not pm_card"},
		{"payment_method: pm_card_*", nil, ""},
		{"payment_method: [pm_bank_*, pm_card_v*]", nil, ""},
		{"payment_method: pm_bank_*", nil, "payment_method is pm_card_visa, not pm_bank_*"},
		{"metadata: {channel: web}", nil, ""},
		{"metadata: {channel: web, shop: north}", nil, ""},
		{"metadata: {channel: app}", nil, "metadata channel is web, not app"},
		{"metadata: {channel: web, till: '7'}", nil, "metadata till is not given, not 7"},
		{"metadata: {channel: web}", bare, "metadata channel is not given, not web"},
		{"tenant: acme, currency: EUR, country: DE, payment_method: pm_*, metadata: {shop: north}", nil, ""},
		{"tenant: acme, currency: USD, country: FR", nil, "currency is EUR, not USD"},
	} {
		rules := parse(t, conditional(row.conditions))
		f := facts()
		if row.change != nil {
			row.change(&f)
		}
		want := "backup"
		if row.reason == "" {
			want = "primary"
		}
		if got := rules.Route(f).Gateway; got != want {
			t.Errorf("%s: routed to %s, want %s", row.conditions, got, want)
		}
		e := rules.Explain(f)
		if e.Rules[0].Reason != row.reason || e.Rules[0].Matched != (row.reason == "") || !cmp.Equal(e.Route, rules.Route(f)) {
			t.Errorf("%s: explained as %+v, want the reason %q", row.conditions, e, row.reason)
		}
	}
}

func TestNoRuleMatches(t *testing.T) {
	t.Parallel()
	rules := parse(t, "version: 1\nrules: [{name: only, match: {currency: USD}, to: [{gateway: primary}]}]")
	if got := rules.Route(facts()); got.Gateway != "" {
		t.Errorf("routed to %+v", got)
	}
	if len(rules.Warnings()) != 1 || !strings.Contains(rules.Warnings()[0], "no_gateway") {
		t.Errorf("a set without a rule for the rest warns of %q", rules.Warnings())
	}
	var none *routing.Rules
	for _, empty := range []*routing.Rules{none, {}} {
		if got := empty.Route(facts()); got.Gateway != "" {
			t.Errorf("no rules route to %+v", got)
		}
	}
	if got := routing.To("primary").Route(facts()); !cmp.Equal(got, payment.Route{Gateway: "primary", Rule: routing.RuleDefault, Fallbacks: []string{}}) {
		t.Errorf("the one gateway is routed to as %+v", got)
	}
}

// TestFailover says for each first choice what comes after it.
func TestFailover(t *testing.T) {
	t.Parallel()
	const three = "to: [{gateway: primary, weight: %d}, {gateway: candidate, weight: %d}, {gateway: backup, weight: %d}]"
	for _, row := range []struct {
		weights   []any
		failover  string
		want      map[string][]string
		onDecline bool
	}{
		{[]any{1, 2, 3}, "", map[string][]string{
			"primary": {"backup", "candidate"}, "candidate": {"backup", "primary"}, "backup": {"candidate", "primary"},
		}, false},
		// Equal weights keep the order in which they are listed.
		{[]any{1, 1, 1}, "failover: {on_decline: true}", map[string][]string{
			"primary": {"candidate", "backup"}, "candidate": {"primary", "backup"}, "backup": {"primary", "candidate"},
		}, true},
		// What is drained is neither chosen nor turned to by default.
		{[]any{1, 1, 0}, "", map[string][]string{"primary": {"candidate"}, "candidate": {"primary"}}, false},
		{[]any{1, 1, 0}, "failover: {to: [backup]}", map[string][]string{"primary": {"backup"}, "candidate": {"backup"}}, false},
		{[]any{1, 1, 0}, "failover: {to: [primary, backup]}", map[string][]string{"primary": {"backup"}, "candidate": {"primary", "backup"}}, false},
		{[]any{1, 1, 1}, "failover: {to: []}", map[string][]string{"primary": {}, "candidate": {}, "backup": {}}, false},
	} {
		document := "version: 1\nrules:\n- name: any\n  " + fmt.Sprintf(three, row.weights...) + "\n  " + row.failover + "\n"
		rules := parse(t, document)
		seen := map[string][]string{}
		for i := range 200 {
			route := rules.Route(facts(func(f *routing.Facts) { f.PaymentID[15] = byte(i) }))
			seen[route.Gateway] = route.Fallbacks
			if route.FailoverOnDecline != row.onDecline {
				t.Errorf("%s\nafter a decline: %v", document, route.FailoverOnDecline)
			}
		}
		if diff := cmp.Diff(row.want, seen); diff != "" {
			t.Errorf("%s\nfailover (-want +got):\n%s", document, diff)
		}
	}
}

// weighted is a set of one rule.
func weighted(name string, weights map[string]int64) string {
	document := "version: 1\nrules:\n- name: " + name + "\n  to:\n"
	for _, gateway := range []string{"primary", "candidate", "backup"} {
		if weight, named := weights[gateway]; named {
			document += fmt.Sprintf("  - {gateway: %s, weight: %d}\n", gateway, weight)
		}
	}
	return document
}

// TestChoiceIsForEver holds what was chosen once: another version of Tender must not choose anew
// for a payment on its way.
func TestChoiceIsForEver(t *testing.T) {
	t.Parallel()
	rules := parse(t, weighted("cards", map[string]int64{"primary": 50, "candidate": 30, "backup": 20}))
	want := strings.Fields("backup:86 primary:16 primary:48 candidate:52 candidate:76 primary:40 candidate:63 candidate:51")
	var got []string
	for i := range len(want) {
		id := uuid.MustParse(fmt.Sprintf("01980000-0000-7000-8000-%012x", i))
		e := rules.Explain(facts(func(f *routing.Facts) { f.PaymentID = id }))
		got = append(got, fmt.Sprintf("%s:%d", e.Route.Gateway, e.Point))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("choices have changed (-want +got):\n%s", diff)
	}
}

// sequential is the id of one of many payments, which differ in few bits as those made in one
// moment do.
func sequential(i int) uuid.UUID {
	id := uuid.MustParse("01980000-0000-7000-8000-000000000000")
	id[13], id[14], id[15] = byte(i>>16), byte(i>>8), byte(i)
	return id
}

// TestDistribution holds that weights come true: within four standard deviations on 100,000
// payments.
func TestDistribution(t *testing.T) {
	t.Parallel()
	const payments = 100_000
	for _, row := range []struct {
		weights map[string]int64
		within  map[string][2]int
	}{
		{map[string]int64{"primary": 99, "candidate": 1}, map[string][2]int{"primary": {98_874, 99_126}, "candidate": {874, 1_126}}},
		{map[string]int64{"primary": 50, "candidate": 30, "backup": 20}, map[string][2]int{
			"primary": {49_367, 50_633}, "candidate": {29_420, 30_580}, "backup": {19_494, 20_506},
		}},
		{map[string]int64{"primary": 1, "candidate": 0}, map[string][2]int{"primary": {payments, payments}}},
		{map[string]int64{"primary": 1_000_000, "candidate": 1_000_000}, map[string][2]int{"primary": {49_367, 50_633}, "candidate": {49_367, 50_633}}},
	} {
		rules := parse(t, weighted("cards", row.weights))
		got := map[string]int{}
		f := facts()
		for i := range payments {
			f.PaymentID = sequential(i)
			got[rules.Route(f).Gateway]++
		}
		for name, n := range got {
			if bounds, expected := row.within[name]; !expected || n < bounds[0] || n > bounds[1] {
				t.Errorf("%v: %d payments went to %s, want %v", row.weights, n, name, row.within[name])
			}
		}
	}
}

// TestACanaryGrows holds that raising the last weight moves payments to it and takes none away.
func TestACanaryGrows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 1_000_000).Draw(t, "total")
		less := rapid.Int64Range(0, total-1).Draw(t, "less")
		more := rapid.Int64Range(less, total-1).Draw(t, "more")
		before, err := routing.Parse([]byte(weighted("cards", map[string]int64{"primary": total - less, "candidate": less})), known())
		if err != nil {
			t.Fatal(err)
		}
		after, err := routing.Parse([]byte(weighted("cards", map[string]int64{"primary": total - more, "candidate": more})), known())
		if err != nil {
			t.Fatal(err)
		}
		f := facts()
		for i := range 50 {
			f.PaymentID = sequential(rapid.IntRange(0, 1<<24-1).Draw(t, fmt.Sprint("payment ", i)))
			if before.Route(f).Gateway == "candidate" && after.Route(f).Gateway != "candidate" {
				t.Fatalf("payment %s left the candidate as its weight rose from %d to %d of %d", f.PaymentID, less, more, total)
			}
		}
	})
}

// TestRulesDrawApart holds that two rules with the same weights don't pick the same payments.
func TestRulesDrawApart(t *testing.T) {
	t.Parallel()
	one := parse(t, weighted("one", map[string]int64{"primary": 1, "candidate": 1}))
	two := parse(t, weighted("two", map[string]int64{"primary": 1, "candidate": 1}))
	same := 0
	f := facts()
	for i := range 10_000 {
		f.PaymentID = sequential(i)
		if one.Route(f).Gateway == two.Route(f).Gateway {
			same++
		}
	}
	if same < 4_800 || same > 5_200 {
		t.Errorf("%d of 10000 payments were chosen alike by two rules", same)
	}
}

// TestRouteIsCheap holds that routing a payment allocates next to nothing: it happens at every
// decision.
func TestRouteIsCheap(t *testing.T) {
	rules := parse(t, weighted("cards", map[string]int64{"primary": 99, "candidate": 1}))
	f := facts()
	if n := testing.AllocsPerRun(100, func() { rules.Route(f) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
