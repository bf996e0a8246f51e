package routing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/processor/routing"
)

// TestRefused has one row for each mistake, with where it is found. Every set is refused whole.
func TestRefused(t *testing.T) {
	t.Parallel()
	rule := func(text string) string { return "version: 1\nrules:\n- name: one\n  " + text + "\n" }
	to := func(text string) string { return rule("to: " + text) }
	match := func(text string) string { return rule("match: {" + text + "}\n  to: [{gateway: primary}]") }
	for _, row := range []struct{ document, want string }{
		{"", "the document is empty"},
		{"# nothing\n", "the document is empty"},
		{"a: b: c", "line 1: not readable as YAML"},
		{"version: 1\nrules: [\n", "line 3: not readable as YAML: did not find expected node content"},
		{"version: 1\nrules:\n- {name: a\n- {name: b}\n", "line 3: not readable as YAML: did not find expected ',' or '}'"},
		{"version: 1\nrules:\n  - name: a\n to: b", "line 4: not readable as YAML: did not find expected key"},
		{"version: 1\nrules: a: b", "line 2: not readable as YAML: mapping values are not allowed"},
		{"version: 1\nrules: *x", "not readable as YAML: unknown anchor 'x' referenced"},
		{"version: 1\nrules:\n\t- name: a", "line 3: not readable as YAML"},
		{to("[{gateway: primary}]") + "---\nversion: 1\n", "a second document begins here"},
		{"[]", "line 1, column 1: the rule set must be keys with values (rules, version), not a list"},
		{"rules", `the rule set must be keys with values (rules, version), not "rules"`},
		{"version: 1", "line 1, column 1: the rule set needs a rules"},
		{"rules: [{name: a, to: [{gateway: primary}]}]", "line 1, column 1: the rule set needs a version"},
		{"version: 2\nrules: [{name: a, to: [{gateway: primary}]}]", "line 1, column 10: version is 2; this build reads version 1"},
		{"version: '1'\nrules: [{name: a, to: [{gateway: primary}]}]", `line 1, column 10: version must be a whole number, not "1"`},
		{"version: 1\nrules: []", "line 2, column 8: rules must not be empty"},
		{"version: 1\nrules:", "line 2, column 7: rules must be a list, not nothing"},
		{"version: 1\nrules: {name: a}", "rules must be a list, not keys with values"},
		{"version: 1\nrules: [a]", `line 2, column 9: a rule must be keys with values (failover, match, name, to), not "a"`},
		{"version: 1\ncolour: blue\nrules: [{name: a, to: [{gateway: primary}]}]", `line 2, column 1: the rule set has no "colour", only rules, version`},
		{"version: 1\nversion: 1\nrules: [{name: a, to: [{gateway: primary}]}]", `line 2, column 1: "version" is given twice, first in line 1`},
		{"version: 1\nrules:\n- to: [{gateway: primary}]", "line 3, column 3: a rule needs a name"},
		{rule("match: {currency: EUR}"), "line 3, column 3: a rule needs a to"},
		{rule("when: {currency: EUR}\n  to: [{gateway: primary}]"), `line 4, column 3: a rule has no "when"`},
		{strings.Replace(to("[{gateway: primary}]"), "one", "one rule", 1), "a name is of letters, digits, - _ and ."},
		{strings.Replace(to("[{gateway: primary}]"), "one", strings.Repeat("n", 65), 1), "at most 64"},
		{strings.Replace(to("[{gateway: primary}]"), "one", "7", 1), "name must be a text: put 7 in quotes"},
		{strings.Replace(to("[{gateway: primary}]"), "one", "''", 1), "name must not be empty"},
		{match("currency: EUR") + "- name: one\n  to: [{gateway: primary}]\n", "line 6, column 9: rule one is there already, in line 3"},

		{to("primary"), `line 4, column 7: to must be a list, not "primary"`},
		{to("[]"), "line 4, column 7: to must not be empty"},
		{to("[primary]"), "a gateway of a rule must be keys with values (gateway, weight)"},
		{to("[{weight: 1}]"), "line 4, column 8: a gateway of a rule needs a gateway"},
		{to("[{gateway: primray}]"), `line 4, column 18: no gateway is named "primray", only backup, candidate, primary`},
		{to("[{gateway: primary, weight: 1}, {gateway: primary, weight: 1}]"), "line 4, column 49: gateway primary is named twice"},
		{to("[{gateway: primary, weight: 1}, {gateway: backup}]"), "line 4, column 39: a gateway beside others needs a weight"},
		{to("[{gateway: primary, weight: 0}, {gateway: backup, weight: 0}]"), "line 4, column 7: all weights are 0"},
		{to("[{gateway: primary, weight: 0}]"), "all weights are 0"},
		{to("[{gateway: primary, weight: -1}]"), "line 4, column 35: a weight is from 0 to 1000000, not -1"},
		{to("[{gateway: primary, weight: 1000001}]"), "a weight is from 0 to 1000000, not 1000001"},
		{to("[{gateway: primary, weight: 0.5}]"), `weight must be a whole number, not "0.5"`},
		{to("[{gateway: primary, weight: 1e3}]"), "weight must be a whole number"},
		{to("[{gateway: primary, weight: 99999999999999999999}]"), "weight must be a whole number"},
		{to("[{gateway: primary, weight: }]"), "weight must be a whole number, not nothing"},
		{to("[{gateway: primary, share: 1}]"), `a gateway of a rule has no "share"`},

		{to("[{gateway: primary}]\n  failover: {}"), "line 5, column 13: failover says nothing"},
		{to("[{gateway: primary}]\n  failover: {to: backup}"), "to must be a list of gateways, [] for none"},
		{to("[{gateway: primary}]\n  failover: {to: [bakcup]}"), `line 5, column 19: no gateway is named "bakcup"`},
		{to("[{gateway: primary}]\n  failover: {to: [backup, backup]}"), "line 5, column 27: gateway backup is named twice"},
		{to("[{gateway: primary}]\n  failover: {on_decline: maybe}"), `on_decline must be true or false, not "maybe"`},
		{to("[{gateway: primary}]\n  failover: {on_unknown: true}"), `failover has no "on_unknown", only on_decline, to`},

		{match(""), "line 4, column 10: match has no conditions: leave it out"},
		{rule("match:\n  to: [{gateway: primary}]"), "match must be keys with values"},
		{match("amount: 5"), `match has no "amount"`},
		{match("tenant: a.b"), "line 4, column 19: tenant: "},
		{match("tenant: [acme, acme]"), "line 4, column 26: tenant: acme is named twice"},
		{match("tenant: []"), "tenant must not be empty"},
		{match("tenant: [[acme]]"), "tenant must be a text, not a list"},
		{match("currency: EURO"), `line 4, column 21: currency: must be an ISO 4217 code such as EUR, not "EURO"`},
		{match("currency: eur"), "must be an ISO 4217 code"},
		{match("currency: XAU"), "must be an ISO 4217 code"},
		{match("country: Germany"), "country: must be two upper-case letters"},
		{match("payment_method: '*'"), "* alone is no condition"},
		{match("payment_method: '*_visa'"), "* may stand at the end only"},
		{match("payment_method: 'pm card'"), "must be of visible ASCII characters"},
		{match("currency: EUR, amount_minor_min: 0"), "line 4, column 44: amount_minor_min must be over 0, not 0"},
		{match("currency: EUR, amount_minor_max: -5"), "amount_minor_max must be over 0, not -5"},
		{match("currency: EUR, amount_minor_min: 19.99"), "amount_minor_min must be a whole number"},
		{match("currency: EUR, amount_minor_min: 1_000"), "amount_minor_min must be a whole number"},
		{match("currency: EUR, amount_minor_min: 10, amount_minor_max: 9"), "line 4, column 66: amount_minor_max is below amount_minor_min (10)"},
		{match("amount_minor_min: 10"), "line 4, column 29: an amount needs a currency beside it"},
		{match("amount_minor_max: 10, currency: [EUR, JPY]"), "EUR and JPY differ: write two rules"},
		{match("metadata: {}"), "metadata must be keys with the values they must have, not nothing"},
		{match("metadata: web"), "metadata must be keys with the values they must have"},
		{match("metadata: {till: 7}"), "line 4, column 28: metadata till must be a text: put 7 in quotes"},
		{match("metadata: {channel: web, channel: app}"), `"channel" is given twice`},
		{match("metadata: {" + strings.Repeat("k", 41) + ": web}"), "a key of metadata has at most 40 characters"},
		{match("tenant: \"a\\x07\""), "tenant holds control characters"},
		{match("payment_method: " + strings.Repeat("p", 501)), "longer than 500"},

		{"version: 1\nrules:\n- &a {name: one, match: {currency: EUR}, to: [{gateway: primary}]}\n- *a\n", "line 4, column 3: a rule must be keys with values (failover, match, name, to), not an alias"},
		{"version: 1\nrules:\n- <<: {name: one}\n  to: [{gateway: primary}]\n", `a rule has no "<<"`},
		{strings.Repeat("#", routing.SizeMax) + "\nversion: 1", "larger than 131072 bytes"},
	} {
		rules, err := routing.Parse([]byte(row.document), known())
		var refused *routing.RefusedError
		switch {
		case !errors.As(err, &refused):
			t.Errorf("%.200s\nis not refused: %v", row.document, err)
		case rules != nil:
			t.Errorf("%.200s\nis refused and taken", row.document)
		case !strings.Contains(err.Error(), row.want):
			t.Errorf("%.200s\nis refused with\n%v\nwant %s", row.document, err, row.want)
		}
	}
}

// TestUnreachable holds that a rule which can never match is a mistake: its author expects it to.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		earlier, later string
		refused        bool
	}{
		{"", "", true},
		{"", "match: {currency: EUR}, ", true},
		{"match: {currency: EUR}, ", "", false},
		{"match: {currency: EUR}, ", "match: {currency: EUR, tenant: acme}, ", true},
		{"match: {currency: EUR, tenant: acme}, ", "match: {currency: EUR}, ", false},
		{"match: {currency: [EUR, USD]}, ", "match: {currency: USD}, ", true},
		{"match: {currency: USD}, ", "match: {currency: [EUR, USD]}, ", false},
		{"match: {payment_method: pm_*}, ", "match: {payment_method: [pm_card_visa, pm_bank_*]}, ", true},
		{"match: {payment_method: pm_card_*}, ", "match: {payment_method: pm_*}, ", false},
		{"match: {payment_method: pm_card_visa}, ", "match: {payment_method: pm_card_visa*}, ", false},
		{"match: {currency: EUR, amount_minor_min: 1}, ", "match: {currency: EUR}, ", true},
		{"match: {currency: EUR, amount_minor_min: 100}, ", "match: {currency: EUR, amount_minor_min: 200}, ", true},
		{"match: {currency: EUR, amount_minor_min: 100}, ", "match: {currency: EUR, amount_minor_max: 200}, ", false},
		{"match: {currency: EUR, amount_minor_max: 100}, ", "match: {currency: EUR, amount_minor_min: 50, amount_minor_max: 100}, ", true},
		{"match: {currency: EUR, amount_minor_max: 100}, ", "match: {currency: EUR, amount_minor_max: 101}, ", false},
		{"match: {country: DE}, ", "match: {country: FR}, ", false},
		{"match: {metadata: {a: x}}, ", "match: {metadata: {a: x, b: y}}, ", true},
		{"match: {metadata: {a: x, b: y}}, ", "match: {metadata: {a: x}}, ", false},
		{"match: {metadata: {a: x}}, ", "match: {metadata: {a: y}}, ", false},
	} {
		document := "version: 1\nrules:\n" +
			"- {name: earlier, " + row.earlier + "to: [{gateway: primary}]}\n" +
			"- {name: later, " + row.later + "to: [{gateway: backup}]}\n"
		_, err := routing.Parse([]byte(document), known())
		if refused := err != nil; refused != row.refused {
			t.Errorf("%s\nrefused: %v", document, err)
		}
		if err != nil && err.Error() != "line 4: rule later can never match: rule earlier in line 3 takes all of its payments" {
			t.Errorf("%s\n%v", document, err)
		}
	}
}

// TestEveryMistakeAtOnce holds that a person corrects a set once, not once for each mistake.
func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := routing.Parse([]byte(`version: 3
rules:
  - name: eu
    match: {currency: EURO, amount_minor_max: 5}
    to: [{gateway: nowhere}]
  - nam: rest
    to: []
`), known())
	want := []string{
		"line 1, column 10: version is 3; this build reads version 1",
		`line 4, column 23: currency: must be an ISO 4217 code such as EUR, not "EURO"`,
		`line 5, column 20: no gateway is named "nowhere", only backup, candidate, primary`,
		"line 6, column 5: a rule needs a name",
		`line 6, column 5: a rule has no "nam", only failover, match, name, to`,
		"line 7, column 9: to must not be empty",
	}
	if err == nil {
		t.Fatal("the set is taken")
	}
	got := strings.Split(err.Error(), "\n")
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// TestJSON holds that a program may write a set as JSON.
func TestJSON(t *testing.T) {
	t.Parallel()
	rules := parse(t, "{\n\t\"version\": 1,\n\t\"rules\": [\n\t\t{\"name\": \"eu\", \"match\": {\"currency\": [\"EUR\"], \"metadata\": {\"a\": \"b\"}},\n"+
		"\t\t \"to\": [{\"gateway\": \"primary\", \"weight\": 99}, {\"gateway\": \"candidate\", \"weight\": 1}], \"failover\": {\"to\": [], \"on_decline\": false}},\n"+
		"\t\t{\"name\": \"rest\", \"to\": [{\"gateway\": \"backup\"}]}\n\t]\n}\n")
	all := rules.All()
	if len(all) != 2 || all[0].Match.Metadata["a"] != "b" || all[0].To[0].Weight != 99 || all[0].Failover.To == nil || all[0].Line != 4 {
		t.Errorf("%+v", all)
	}
}

// FuzzParse holds that no document brings the parser down, and that what it takes routes without
// one.
func FuzzParse(f *testing.F) {
	f.Add([]byte(conditional("currency: EUR, amount_minor_max: 10, metadata: {a: b}")))
	f.Add([]byte("version: 1\nrules: [{name: a, to: [{gateway: primary, weight: 1}, {gateway: backup, weight: 0}], failover: {to: [backup]}}]"))
	f.Add([]byte("version: 1\nrules: &a [*a]"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Fuzz(func(t *testing.T, document []byte) {
		rules, err := routing.Parse(document, known())
		var refused *routing.RefusedError
		if err != nil {
			if !errors.As(err, &refused) || len(refused.Mistakes) == 0 || rules != nil {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if e := rules.Explain(facts()); !cmp.Equal(e.Route, rules.Route(facts())) {
			t.Fatalf("routed to %+v and explained as %+v", rules.Route(facts()), e.Route)
		}
	})
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}
