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

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// routingExplain is `tender routing explain`.
type routingExplain struct {
	*term.Env
	facts     routing.Facts
	id, rules string
}

func newRoutingExplain(e *term.Env) *cobra.Command {
	c := &routingExplain{Env: e}
	cmd := &cobra.Command{
		Use:   "explain [PAYMENT]",
		Short: "Explain how the rules would route a payment",
		Long: `Explain takes a payment through the rules in force, or through those of --rules. It shows
the result of each rule, the payment's place among the weights, and the gateways of its
failover. The payment is a recorded one, for which explain also shows how it was routed,
or one made up of --amount, --currency, --method and the other flags. The payment's id
decides among the weights; without --id explain draws a new one.

Exit code 1 if no rule takes the payment: it would fail with no_gateway.`,
		Example: `  tender routing explain --amount 1999 --currency EUR --method pm_card_visa --country DE
  tender routing explain 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender routing explain 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --rules next.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.Load()
			if err != nil {
				return err
			}
			facts, history, err := c.factsOf(cmd, args)
			if err != nil {
				return err
			}
			shown, err := c.rulesToExplain(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return c.run(explained{shown: shown, explanation: shown.rules.Explain(facts), history: history})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.facts.Tenant, "tenant", defaultTenant, "`tenant` whose payment it is")
	flags.Int64Var(&c.facts.AmountMinor, "amount", 0, "amount in minor `units`")
	flags.StringVar(&c.facts.Currency, "currency", "", "currency, an ISO 4217 `code`")
	flags.StringVar(&c.facts.PaymentMethod, "method", "", "payment method, a `token`")
	flags.StringVar(&c.facts.Country, "country", "", "country, two letters of ISO 3166")
	flags.StringToStringVar(&c.facts.Metadata, "metadata", nil, "metadata, `key=value`; may be repeated")
	flags.StringVar(&c.id, "id", "", "payment `id` (default: a new one)")
	flags.StringVar(&c.rules, "rules", "", "`file` of rules, or - for standard input, in place of those in force")
	return cmd
}

// factsOf returns the facts of the flags, or those of a recorded payment with its history.
func (c *routingExplain) factsOf(cmd *cobra.Command, args []string) (routing.Facts, []messages.Event, error) {
	if len(args) == 1 {
		for _, flag := range []string{"amount", "currency", "method", "country", "metadata", "id"} {
			if cmd.Flags().Changed(flag) {
				return routing.Facts{}, nil, term.UsageError("--%s and a payment's id cannot be given together", flag)
			}
		}
		tenant := ""
		if cmd.Flags().Changed("tenant") {
			tenant = c.facts.Tenant
		}
		return c.recordedFacts(cmd.Context(), tenant, args[0])
	}
	facts := c.facts
	var err error
	if facts.PaymentID, err = uuid.NewV7(); err == nil && c.id != "" {
		facts.PaymentID, err = messages.ParsePaymentID(c.id)
	}
	if err != nil {
		return routing.Facts{}, nil, err
	}
	_, known := messages.Exponent(facts.Currency)
	switch {
	case facts.AmountMinor <= 0:
		err = term.UsageError("--amount must be over 0, in minor units")
	case !known:
		err = term.UsageError("--currency must be an ISO 4217 code such as EUR, not %q", facts.Currency)
	case facts.PaymentMethod == "":
		err = term.UsageError("--method is required")
	}
	return facts, nil, err
}

// recordedFacts reads the facts and the history of a recorded payment.
func (c *routingExplain) recordedFacts(ctx context.Context, tenant, given string) (routing.Facts, []messages.Event, error) {
	id, err := messages.ParsePaymentID(given)
	if err != nil {
		return routing.Facts{}, nil, err
	}
	var facts routing.Facts
	var history []messages.Event
	err = app.WithStore(ctx, c.Env, func(s *store.Store) error {
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

// rulesToExplain returns the rules of --rules, or those in force.
func (c *routingExplain) rulesToExplain(ctx context.Context, cfg config.Config) (rulesShown, error) {
	if file := c.rules; file != "" {
		document, err := readRules(c.Env, file)
		if err != nil {
			return rulesShown{}, err
		}
		rules, err := routing.Parse(document, app.Gateways(cfg))
		if err != nil {
			return rulesShown{}, app.RefusedRules(term.ExitNo, file, err)
		}
		return rulesShown{From: file}.with(rules), nil
	}
	b, err := app.OpenBus(cfg)
	if err != nil {
		return rulesShown{}, err
	}
	defer b.Close()
	shown, err := rulesInForce(ctx, b.JS, cfg)
	if err == nil {
		err = shown.refused
	}
	return shown, err
}

// explained is an explanation, the rules that it is about, and the payment's history.
type explained struct {
	shown       rulesShown
	explanation routing.Explanation
	history     []messages.Event
}

// done lists the recorded choices for the payment, in order.
func (e explained) done() []routed {
	all := []routed{}
	for _, event := range e.history {
		if d, ok := event.Data.(*messages.PaymentRouted); ok {
			all = append(all, routed{At: event.OccurredAt, Gateway: d.Gateway, Rule: d.Rule, OperationID: d.OperationID, Reason: d.Reason})
		}
	}
	return all
}

// routed is one recorded choice.
type routed struct {
	At          time.Time `json:"at"`
	Gateway     string    `json:"gateway"`
	Rule        string    `json:"rule"`
	OperationID string    `json:"operation_id"`
	// Reason is the reason of a failover; "" for a first choice.
	Reason string `json:"reason,omitempty"`
}

func (c *routingExplain) run(e explained) error {
	show := c.showText
	if c.JSON {
		show = c.showJSON
	}
	if err := show(e); err != nil {
		return err
	}
	if e.explanation.Route.Gateway == "" {
		return term.SayNo()
	}
	return nil
}

func (c *routingExplain) showJSON(e explained) error {
	route := e.explanation.Route
	return c.PrintJSON(struct {
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

func (c *routingExplain) showText(e explained) error {
	facts, route := e.explanation.Facts, e.explanation.Route
	f := term.NewFacts(c.Stdout)
	f.Add("payment", facts.PaymentID.String())
	f.Add("tenant", facts.Tenant)
	f.Add("amount", term.Amount(facts.AmountMinor, facts.Currency))
	f.Add("payment method", facts.PaymentMethod)
	f.Add("country", facts.Country)
	for _, key := range slices.Sorted(maps.Keys(facts.Metadata)) {
		f.Add("metadata "+key, facts.Metadata[key])
	}
	if e.shown.Source == "" {
		f.Add("rules from", e.shown.From)
	} else {
		f.Add("rules from", e.shown.place())
	}
	if err := f.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "RULE", "MATCHES", "WHY NOT")
	for _, r := range e.explanation.Rules {
		t.Row(r.Rule, map[bool]string{true: "yes", false: "no"}[r.Matched], r.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout)
	if route.Gateway == "" {
		fmt.Fprintln(c.Stdout, "no rule takes the payment: it would fail with "+messages.FailureNoGateway)
	} else {
		fmt.Fprintf(c.Stdout, "%s, by rule %s%s\n", route.Gateway, route.Rule, shareText(e.explanation))
		fmt.Fprintln(c.Stdout, fallbackText(e.explanation))
	}
	return c.showDone(e.done())
}

// shareText shows the payment's place among the weights, "" if there is only one gateway.
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

func (c *routingExplain) showDone(done []routed) error {
	if len(done) == 0 {
		return nil
	}
	fmt.Fprintln(c.Stdout, "\nrecorded choices:")
	t := term.NewTable(c.Stdout, "TIME", "OPERATION", "GATEWAY", "RULE", "INSTEAD OF THE ONE BEFORE")
	for _, r := range done {
		t.Row(term.Moment(r.At), r.OperationID, r.Gateway, r.Rule, r.Reason)
	}
	return t.Flush()
}
