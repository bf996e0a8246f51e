package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// conformanceFlags are those of gateway conformance.
type conformanceFlags struct {
	url, keyFrom, connector string
	list                    bool
	options                 conformance.Options
}

func newGatewayConformance(c *cli) *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Check which rules of the gateway protocol a server keeps; exit code 1 if it breaks any",
		Long: `Conformance makes payments at a server of Tender's gateway protocol, over HTTP or over NATS, and says of every rule whether the
server keeps it: that a replay under the same key has one effect, that a lookup tells what happened, that nothing is captured or
refunded beyond its limits, also at the same time, and more. A broken rule is shown with what was said up to there.

Point it at a test system only. The payment methods that the system offers for tests are named by flags; without any, they are those
of tender simulator. A card that is not named leaves out the rules that need it.

The protocol is described by tender gateway openapi.`,
		Example: `  tender simulator & tender gateway conformance --url http://127.0.0.1:8585
  tender gateway conformance --url https://test.bank.example/tender --api-key-env BANK_KEY --approved tok_ok --declined tok_no
  tender gateway conformance --connector bank --nats nats://127.0.0.1:4222
  tender gateway conformance --url http://127.0.0.1:8585 --rule concurrent-refunds --json
  tender gateway conformance --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.conformance(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "base `address` of a server over HTTP")
	flags.StringVar(&f.keyFrom, "api-key-env", "", "`variable` that holds the API key to send; none is sent without it")
	flags.StringVar(&f.connector, "connector", "", "`name` of a gateway whose connector answers over NATS")
	flags.BoolVar(&f.list, "list", false, "show the rules and check nothing")
	flags.StringSliceVar(&f.options.Rules, "rule", nil, "`name` of a rule to check, for several rules several times; default all")
	cards := &f.options.Cards
	flags.StringVar(&cards.Approved, "approved", "", "payment `method` that is approved up to 10,000 minor units")
	flags.StringVar(&cards.Declined, "declined", "", "payment `method` that is declined")
	flags.StringVar(&cards.DeclineCode, "decline-code", "", "`code` with which it is declined; default any")
	flags.StringVar(&cards.Challenged, "challenged", "", "payment `method` that asks for 3-D Secure and can be confirmed without it")
	flags.StringVar(&cards.Slow, "slow", "", "payment `method` that is approved after a quarter of a second or more")
	flags.StringVar(&f.options.Currency, "currency", "USD", "`currency` that the server takes")
	flags.StringVar(&f.options.OtherCurrency, "other-currency", "EUR", "another `currency`")
	flags.StringVar(&f.options.Tenant, "tenant", "acme", "`tenant` whose payments they are")
	flags.DurationVar(&f.options.CallTimeout, "timeout", 10*time.Second, "longest wait for one answer")
	return cmd
}

func newGatewayOpenAPI(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the description of the gateway protocol, an OpenAPI 3.1 document",
		Long: `Openapi prints what a server has to answer so that Tender can use it as a gateway of the kind http. Generate a server from it,
or write one by hand, and check it with tender gateway conformance.`,
		Example: "  tender gateway openapi > gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := c.stdout.Write(protocol.OpenAPI()); err != nil {
				return fmt.Errorf("write the description: %w", err)
			}
			return nil
		},
	}
}

// conformance checks one server.
func (c *cli) conformance(ctx context.Context, f conformanceFlags) error {
	switch {
	case f.list:
		return c.listRules()
	case (f.url == "") == (f.connector == ""):
		return usageError("name a server with --url or a connector with --connector, one of them")
	case f.keyFrom != "" && f.url == "":
		return usageError("--api-key-env goes with --url")
	case f.keyFrom != "" && lookup(c.environ, f.keyFrom) == "":
		return usageError("--api-key-env: the variable %s is empty", f.keyFrom)
	case f.options.CallTimeout <= 0:
		return usageError("--timeout must be greater than zero")
	}
	if f.connector != "" {
		return c.withBus(func(b *link) error {
			target, err := conformance.OverNATS(b.nc, f.connector)
			if err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			defer target.Close()
			return c.conforms(ctx, target, protocol.ServiceName(f.connector), f.options)
		})
	}
	target, err := conformance.OverHTTP(f.url, lookup(c.environ, f.keyFrom))
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	defer target.Close()
	return c.conforms(ctx, target, f.url, f.options)
}

// conforms checks the rules and shows each result as it comes.
func (c *cli) conforms(ctx context.Context, target *conformance.Target, name string, o conformance.Options) error {
	o.OnResult = func(r conformance.Result) {
		if c.json {
			c.remark("%s", resultLine(r))
			return
		}
		fmt.Fprintln(c.stdout, resultLine(r))
		if r.Verdict == conformance.Fail {
			fmt.Fprintf(c.stdout, "          %s\n", printable(r.Reason))
			for _, step := range r.Evidence {
				fmt.Fprintf(c.stdout, "          | %s\n", printable(step))
			}
		}
	}
	report, err := conformance.Run(ctx, target, o)
	switch {
	case errors.Is(err, conformance.ErrUnreachable):
		return &unavailableError{service: "the gateway", address: name, err: err}
	case errors.Is(err, conformance.ErrUnauthorized):
		return usageError("%s: %w: give it with --api-key-env", name, err)
	case errors.Is(err, conformance.ErrUnknownRule), errors.Is(err, conformance.ErrNoCard):
		return &exitError{code: exitUsage, err: err}
	case err != nil:
		return err
	}
	if c.json {
		err = c.printJSON(conformity{
			OK: report.Breaches() == 0, Gateway: name, Kept: report.Kept(), Broken: report.Breaches(), LeftOut: report.LeftOut(), Report: report,
		})
	} else {
		_, err = fmt.Fprintf(c.stdout, "\n%s: %d kept, %d broken, %d left out\n", name, report.Kept(), report.Breaches(), report.LeftOut())
	}
	if err == nil && report.Breaches() > 0 {
		return sayNo()
	}
	return err
}

// conformity is the result of gateway conformance, for programs.
type conformity struct {
	OK      bool   `json:"ok"`
	Gateway string `json:"gateway"`
	Kept    int    `json:"kept"`
	Broken  int    `json:"broken"`
	LeftOut int    `json:"left_out"`
	conformance.Report
}

// resultLine says in one line how a server did by one rule.
func resultLine(r conformance.Result) string {
	switch r.Verdict {
	case conformance.Pass:
		return fmt.Sprintf("pass      %-27s %s", r.Rule, r.Demand)
	case conformance.Fail:
		return fmt.Sprintf("FAIL      %-27s %s", r.Rule, r.Demand)
	default:
		return fmt.Sprintf("left out  %-27s %s", r.Rule, r.Reason)
	}
}

func (c *cli) listRules() error {
	if c.json {
		for _, rule := range conformance.Rules() {
			if err := c.printJSON(map[string]string{"rule": rule.Name, "demand": rule.Demand}); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(c.stdout, "RULE", "WHAT IT DEMANDS")
	for _, rule := range conformance.Rules() {
		t.row(rule.Name, rule.Demand)
	}
	return t.flush()
}
