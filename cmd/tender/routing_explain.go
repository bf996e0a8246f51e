package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// explainFlags are those of routing explain.
type explainFlags struct {
	facts     routing.Facts
	id, rules string
}

func newRoutingExplain(c *cli) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [PAYMENT]",
		Short: "Say what the rules would do with a payment, and why",
		Long: `Explain takes a payment through the rules in force, or through those of --rules: what each rule says to it, where it falls among
the weights, and which gateways it may turn to. The payment is one that there is, for which explain shows as well what was
done with it, or one made up of --amount, --currency, --method and what else matters. Weights are shared out by the
payment's id; without --id a new one is drawn.

Exit code 1 if no rule takes the payment: it would fail with no_gateway.`,
		Example: `  tender routing explain --amount 1999 --currency EUR --method pm_card_visa --tenant acme --country DE
  tender routing explain 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender routing explain 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --rules next.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			facts, history, err := c.factsOf(cmd, f, args)
			if err != nil {
				return err
			}
			shown, err := c.rulesToExplain(cmd.Context(), cfg, f.rules)
			if err != nil {
				return err
			}
			return c.explain(explained{shown: shown, explanation: shown.rules.Explain(facts), history: history})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.facts.Tenant, "tenant", defaultTenant, "`tenant` whose payment it is")
	flags.Int64Var(&f.facts.AmountMinor, "amount", 0, "amount in minor `units`")
	flags.StringVar(&f.facts.Currency, "currency", "", "currency, an ISO 4217 `code`")
	flags.StringVar(&f.facts.PaymentMethod, "method", "", "payment method, a `token`")
	flags.StringVar(&f.facts.Country, "country", "", "country, two letters of ISO 3166")
	flags.StringToStringVar(&f.facts.Metadata, "metadata", nil, "metadata, `key=value`; may be repeated")
	flags.StringVar(&f.id, "id", "", "payment `id` (default: a new one)")
	flags.StringVar(&f.rules, "rules", "", "`file` of rules, or - for standard input, in place of those in force")
	return cmd
}

// factsOf are those of the flags, or those of a payment that there is, with its history.
func (c *cli) factsOf(cmd *cobra.Command, f explainFlags, args []string) (routing.Facts, []messages.Event, error) {
	if len(args) == 1 {
		for _, flag := range []string{"amount", "currency", "method", "country", "metadata", "id"} {
			if cmd.Flags().Changed(flag) {
				return routing.Facts{}, nil, usageError("--%s and a payment's id cannot be given together", flag)
			}
		}
		tenant := ""
		if cmd.Flags().Changed("tenant") {
			tenant = f.facts.Tenant
		}
		return c.recordedFacts(cmd.Context(), tenant, args[0])
	}
	facts := f.facts
	var err error
	if facts.PaymentID, err = uuid.NewV7(); err == nil && f.id != "" {
		facts.PaymentID, err = messages.ParsePaymentID(f.id)
	}
	if err != nil {
		return routing.Facts{}, nil, err
	}
	_, known := messages.Exponent(facts.Currency)
	switch {
	case facts.AmountMinor <= 0:
		err = usageError("--amount must be over 0, in minor units")
	case !known:
		err = usageError("--currency must be an ISO 4217 code such as EUR, not %q", facts.Currency)
	case facts.PaymentMethod == "":
		err = usageError("--method is required")
	}
	return facts, nil, err
}

// recordedFacts reads what routes a payment from the payment itself.
func (c *cli) recordedFacts(ctx context.Context, tenant, given string) (routing.Facts, []messages.Event, error) {
	id, err := messages.ParsePaymentID(given)
	if err != nil {
		return routing.Facts{}, nil, err
	}
	var facts routing.Facts
	var history []messages.Event
	err = c.withStore(ctx, func(s *store.Store) error {
		p, err := s.Get(ctx, tenant, id)
		if err != nil {
			return err
		}
		facts = routing.Facts{
			PaymentID: p.ID, Tenant: p.Tenant, AmountMinor: p.AmountMinor, Currency: p.Currency, Country: p.Country,
			PaymentMethod: p.PaymentMethod, Metadata: p.Metadata,
		}
		history, err = s.History(ctx, tenant, id)
		return err
	})
	return facts, history, err
}

// rulesToExplain are those of a file, or those in force.
func (c *cli) rulesToExplain(ctx context.Context, cfg config.Config, file string) (rulesShown, error) {
	if file != "" {
		document, err := c.readRules(file)
		if err != nil {
			return rulesShown{}, err
		}
		rules, err := routing.Parse(document, gatewayNames(cfg))
		if err != nil {
			return rulesShown{}, refusedRules(exitNo, file, err)
		}
		return rulesShown{From: file}.with(rules), nil
	}
	b, err := openBus(cfg)
	if err != nil {
		return rulesShown{}, err
	}
	defer b.close()
	shown, err := rulesInForce(ctx, b.js, cfg)
	if err == nil {
		err = shown.refused
	}
	return shown, err
}

// explained is an explanation with what else there is to show.
type explained struct {
	shown       rulesShown
	explanation routing.Explanation
	history     []messages.Event
}

// done are the choices that were made for the payment, in order.
func (e explained) done() []routed {
	all := []routed{}
	for _, event := range e.history {
		if d, ok := event.Data.(*messages.PaymentRouted); ok {
			all = append(all, routed{At: event.OccurredAt, Gateway: d.Gateway, Rule: d.Rule, OperationID: d.OperationID, Reason: d.Reason})
		}
	}
	return all
}

// routed is one choice that was made.
type routed struct {
	At          time.Time `json:"at"`
	Gateway     string    `json:"gateway"`
	Rule        string    `json:"rule"`
	OperationID string    `json:"operation_id"`
	// Reason is why it took the place of another; "" for a first choice.
	Reason string `json:"reason,omitempty"`
}

func (c *cli) explain(e explained) error {
	show := c.explainText
	if c.json {
		show = c.explainJSON
	}
	if err := show(e); err != nil {
		return err
	}
	if e.explanation.Route.Gateway == "" {
		return sayNo()
	}
	return nil
}

func (c *cli) explainJSON(e explained) error {
	route := e.explanation.Route
	return c.printJSON(struct {
		Source   routing.Source `json:"source,omitempty"`
		From     string         `json:"from,omitempty"`
		Revision uint64         `json:"revision,omitempty"`
		routing.Explanation
		Gateway           string   `json:"gateway,omitempty"`
		Rule              string   `json:"rule,omitempty"`
		Failover          []string `json:"failover,omitempty"`
		FailoverOnDecline bool     `json:"failover_on_decline,omitempty"`
		Done              []routed `json:"done,omitempty"`
	}{
		Source: e.shown.Source, From: e.shown.From, Revision: e.shown.Revision, Explanation: e.explanation,
		Gateway: route.Gateway, Rule: route.Rule, Failover: route.Fallbacks, FailoverOnDecline: route.FailoverOnDecline, Done: e.done(),
	})
}

func (c *cli) explainText(e explained) error {
	facts, route := e.explanation.Facts, e.explanation.Route
	f := newFacts(c.stdout)
	f.add("payment", facts.PaymentID.String())
	f.add("tenant", facts.Tenant)
	f.add("amount", amount(facts.AmountMinor, facts.Currency))
	f.add("payment method", facts.PaymentMethod)
	f.add("country", facts.Country)
	for _, key := range slices.Sorted(maps.Keys(facts.Metadata)) {
		f.add("metadata "+key, facts.Metadata[key])
	}
	if e.shown.Source == "" {
		f.add("rules from", e.shown.From)
	} else {
		f.add("rules from", e.shown.place())
	}
	if err := f.flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "RULE", "MATCHES", "WHY NOT")
	for _, r := range e.explanation.Rules {
		t.row(r.Rule, map[bool]string{true: "yes", false: "no"}[r.Matched], r.Reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout)
	if route.Gateway == "" {
		fmt.Fprintln(c.stdout, "no rule takes the payment: it would fail with "+messages.FailureNoGateway)
	} else {
		fmt.Fprintf(c.stdout, "%s, by rule %s%s\n", route.Gateway, route.Rule, shareText(e.explanation))
		fmt.Fprintln(c.stdout, fallbackText(e.explanation))
	}
	return c.explainDone(e.done())
}

// shareText says where the payment fell, if there was a choice.
func shareText(e routing.Explanation) string {
	if len(e.Shares) < 2 {
		return ""
	}
	total := e.Shares[len(e.Shares)-1].Until
	parts := make([]string, 0, len(e.Shares))
	for _, s := range e.Shares {
		if s.Weight > 0 {
			parts = append(parts, fmt.Sprintf("%s %d-%d", s.Gateway, s.From, s.Until-1))
		} else {
			parts = append(parts, s.Gateway+" drained")
		}
	}
	return fmt.Sprintf(": point %d of %d (%s)", e.Point, total, strings.Join(parts, ", "))
}

func fallbackText(e routing.Explanation) string {
	if len(e.Route.Fallbacks) == 0 {
		return "no failover"
	}
	text := "failover to " + strings.Join(e.Route.Fallbacks, ", then ") + ": only on proof that nothing happened at the one before"
	if e.Route.FailoverOnDecline {
		text += ", or after a soft decline"
	}
	return text
}

func (c *cli) explainDone(done []routed) error {
	if len(done) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout, "\nwhat was done with it:")
	t := newTable(c.stdout, "TIME", "OPERATION", "GATEWAY", "RULE", "INSTEAD OF THE ONE BEFORE")
	for _, r := range done {
		t.row(moment(r.At), r.OperationID, r.Gateway, r.Rule, r.Reason)
	}
	return t.flush()
}
