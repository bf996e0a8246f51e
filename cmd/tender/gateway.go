package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

func newGateway(e *term.Env) *cobra.Command {
	gateways := &cobra.Command{
		Use:     "gateway",
		Short:   "Show the state of gateways, and test gateway servers",
		Example: "  tender gateway ls\n  tender gateway conformance --url http://127.0.0.1:8585",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	gateways.AddCommand(newGatewayList(e), newGatewayConformance(e), newGatewayOpenAPI(e))
	return gateways
}

// gatewayList is `tender gateway ls`.
type gatewayList struct {
	*term.Env
	watched  bool
	patience time.Duration
}

func newGatewayList(e *term.Env) *cobra.Command {
	c := &gatewayList{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Show the state of each gateway at every running worker",
		Long: `Ls asks every instance that plays the role of a worker for the state of its gateways, and
shows their answers:

  STATE         closed: calls go through; open: none do; half_open: a few do, as probes
  FAILURES      calls without an answer among those counted: in the current window, or
                when the breaker opened; declines are answers
  IN FLIGHT     calls in progress, of the number allowed at once
  LEFT ALONE    the time until which the gateway asked not to be called (Retry-After)

Each instance judges for itself, so one with a broken network does not stop the others.`,
		Example: `  tender gateway ls
  tender gateway ls --watch
  tender gateway ls --json | jq 'select(.state != "closed")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.WithBus(c.Env, func(b *app.Bus) error {
				if c.watched {
					return c.watch(cmd.Context(), b)
				}
				return c.run(cmd.Context(), b)
			})
		},
	}
	cmd.Flags().BoolVar(&c.watched, "watch", false, "show them again whenever they change; with --json every report")
	cmd.Flags().DurationVar(&c.patience, "timeout", 2*time.Second, "longest wait for the first answer")
	return cmd
}

func (c *gatewayList) run(ctx context.Context, b *app.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	reports, err := status.Collect(ctx, b.NC)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		c.Remark("no worker answered within %s", c.patience)
	}
	if !c.JSON {
		text, err := gatewayTable(reports)
		if err == nil {
			_, err = c.Stdout.Write(text)
		}
		return err
	}
	for _, r := range reports {
		if err := c.PrintJSON(r); err != nil {
			return err
		}
	}
	return nil
}

// gatewayTable shows reports to people.
func gatewayTable(reports []status.Report) ([]byte, error) {
	var text bytes.Buffer
	t := term.NewTable(&text, "GATEWAY", "INSTANCE", "STATE", "SINCE", "FAILURES", "IN FLIGHT", "LEFT ALONE", "VERSION")
	for _, r := range reports {
		t.Row(r.Gateway, r.Instance, string(r.State), term.Moment(r.Since), fmt.Sprintf("%d of %d", r.Failures, r.Tries),
			fmt.Sprintf("%d of %d", r.InFlight, r.ConcurrencyMax), term.Moment(r.RateLimitedUntil), r.Version)
	}
	err := t.Flush()
	return text.Bytes(), err
}

// watchInterval is the time without a report after which a watched table is checked for instances
// that have left.
const watchInterval = time.Second

// watch shows the gateways until it is interrupted: on a terminal in place, elsewhere as a new
// table whenever it has changed.
func (c *gatewayList) watch(ctx context.Context, b *app.Bus) (err error) {
	l, err := status.Listen(ctx, b.NC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Ask(); err != nil {
		return err
	}
	screen := gatewayScreen{Env: c.Env, inPlace: term.IsTerminal(c.Stdout, c.Environ)}
	for {
		r, err := nextReport(ctx, l)
		switch {
		case err == nil && c.JSON:
			err = c.PrintJSON(r)
		case err == nil:
			screen.board.Put(r, c.Now())
			err = screen.show()
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			err = screen.show()
		}
		if err != nil {
			return err
		}
	}
}

// nextReport waits for a report, for watchInterval at most.
func nextReport(ctx context.Context, l *status.Listener) (status.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	return l.Next(ctx)
}

// gatewayScreen shows a table again when it has changed.
type gatewayScreen struct {
	*term.Env
	board   status.Board
	inPlace bool
	shown   []byte
}

func (s *gatewayScreen) show() error {
	if s.JSON {
		return nil
	}
	text, err := gatewayTable(s.board.Reports(s.Now()))
	if err != nil || bytes.Equal(text, s.shown) {
		return err
	}
	before := ""
	switch {
	case s.inPlace:
		before = "\x1b[H\x1b[2J" // to the top left corner, and an empty screen
	case s.shown != nil:
		before = "\n"
	}
	s.shown = text
	_, err = fmt.Fprintf(s.Stdout, "%s%s", before, text)
	return err
}

// gatewayConformance is `tender gateway conformance`.
type gatewayConformance struct {
	*term.Env
	url, keyFrom, connector string
	list                    bool
	options                 conformance.Options
}

func newGatewayConformance(e *term.Env) *cobra.Command {
	c := &gatewayConformance{Env: e}
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Test a server of the gateway protocol; exit code 1 if it breaks a rule",
		Long: `Conformance makes payments at a server of Tender's gateway protocol, over HTTP or over
NATS, and prints for every rule whether the server keeps it: that a replay under the same
key has one effect, that a lookup reports the operation, that captures and refunds stay
within their limits, also concurrent ones, and more. It shows a broken rule with the
requests and answers that led to it.

Point it at a test system only. Flags name the payment methods that the system offers for
tests; without any they are those of tenderlab simulator. Rules that need a payment
method without a flag are left out.

tender gateway openapi describes the protocol.`,
		Example: `  tenderlab simulator & tender gateway conformance --url http://127.0.0.1:8585
  tender gateway conformance --url https://test.bank.example/tender --api-key-env BANK_KEY \
      --approved tok_ok --declined tok_no
  tender gateway conformance --connector bank --nats nats://127.0.0.1:4222
  tender gateway conformance --url http://127.0.0.1:8585 --rule concurrent-refunds --json
  tender gateway conformance --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&c.url, "url", "", "base `address` of a server over HTTP")
	flags.StringVar(&c.keyFrom, "api-key-env", "", "`variable` that holds the API key to send; none is sent without it")
	flags.StringVar(&c.connector, "connector", "", "`name` of a gateway whose connector answers over NATS")
	flags.BoolVar(&c.list, "list", false, "list the rules and check nothing")
	flags.StringSliceVar(&c.options.Rules, "rule", nil, "`name` of a rule to check; may be repeated (default all)")
	cards := &c.options.Cards
	flags.StringVar(&cards.Approved, "approved", "", "payment `method` that is approved up to 10,000 minor units")
	flags.StringVar(&cards.Declined, "declined", "", "payment `method` that is declined")
	flags.StringVar(&cards.DeclineCode, "decline-code", "", "`code` with which it is declined; default any")
	flags.StringVar(&cards.Challenged, "challenged", "", "payment `method` that asks for 3-D Secure and can be confirmed\nwithout it")
	flags.StringVar(&cards.Slow, "slow", "", "payment `method` that is approved after 250 ms or more")
	flags.StringVar(&c.options.Currency, "currency", "USD", "`currency` that the server takes")
	flags.StringVar(&c.options.OtherCurrency, "other-currency", "EUR", "another `currency`")
	flags.StringVar(&c.options.Tenant, "tenant", "acme", "`tenant` whose payments they are")
	flags.DurationVar(&c.options.CallTimeout, "timeout", 10*time.Second, "longest wait for one answer")
	return cmd
}

func newGatewayOpenAPI(e *term.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the description of the gateway protocol, an OpenAPI 3.1 document",
		Long: `Openapi prints the protocol that a server must speak so that Tender can use it as a
gateway of the kind http. Generate a server from it, or write one by hand, and test it
with tender gateway conformance.`,
		Example: "  tender gateway openapi > gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := e.Stdout.Write(protocol.OpenAPI()); err != nil {
				return fmt.Errorf("write the description: %w", err)
			}
			return nil
		},
	}
}

// run checks one server.
func (c *gatewayConformance) run(ctx context.Context) error {
	switch {
	case c.list:
		return c.listRules()
	case (c.url == "") == (c.connector == ""):
		return term.UsageError("name a server with --url or a connector with --connector, one of them")
	case c.keyFrom != "" && c.url == "":
		return term.UsageError("--api-key-env goes with --url")
	case c.keyFrom != "" && term.Lookup(c.Environ, c.keyFrom) == "":
		return term.UsageError("--api-key-env: the variable %s is empty", c.keyFrom)
	case c.options.CallTimeout <= 0:
		return term.UsageError("--timeout must be greater than zero")
	}
	if c.connector != "" {
		return app.WithBus(c.Env, func(b *app.Bus) error {
			target, err := conformance.OverNATS(b.NC, c.connector)
			if err != nil {
				return &term.ExitError{Code: term.ExitUsage, Err: err}
			}
			defer target.Close()
			return c.check(ctx, target, protocol.ServiceName(c.connector))
		})
	}
	target, err := conformance.OverHTTP(c.url, term.Lookup(c.Environ, c.keyFrom))
	if err != nil {
		return &term.ExitError{Code: term.ExitUsage, Err: err}
	}
	defer target.Close()
	return c.check(ctx, target, c.url)
}

// check checks the rules and shows each result as it comes.
func (c *gatewayConformance) check(ctx context.Context, target *conformance.Target, name string) error {
	o := c.options
	o.OnResult = func(r conformance.Result) {
		if c.JSON {
			c.Remark("%s", resultLine(r))
			return
		}
		fmt.Fprintln(c.Stdout, resultLine(r))
		if r.Verdict == conformance.Fail {
			fmt.Fprintf(c.Stdout, "          %s\n", term.Printable(r.Reason))
			for _, step := range r.Evidence {
				fmt.Fprintf(c.Stdout, "          | %s\n", term.Printable(step))
			}
		}
	}
	report, err := conformance.Run(ctx, target, o)
	switch {
	case errors.Is(err, conformance.ErrUnreachable):
		return &term.UnavailableError{Service: "the gateway", Address: name, Err: err}
	case errors.Is(err, conformance.ErrUnauthorized):
		return term.UsageError("%s: %w: give it with --api-key-env", name, err)
	case errors.Is(err, conformance.ErrUnknownRule), errors.Is(err, conformance.ErrNoCard):
		return &term.ExitError{Code: term.ExitUsage, Err: err}
	case err != nil:
		return err
	}
	if c.JSON {
		err = c.PrintJSON(conformity{
			OK: report.Breaches() == 0, Gateway: name, Kept: report.Kept(), Broken: report.Breaches(), LeftOut: report.LeftOut(), Report: report,
		})
	} else {
		_, err = fmt.Fprintf(c.Stdout, "\n%s: %d kept, %d broken, %d left out\n", name, report.Kept(), report.Breaches(), report.LeftOut())
	}
	if err == nil && report.Breaches() > 0 {
		return term.SayNo()
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

// resultLine formats the result of one rule in one line.
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

func (c *gatewayConformance) listRules() error {
	if c.JSON {
		for _, rule := range conformance.Rules() {
			if err := c.PrintJSON(map[string]string{"rule": rule.Name, "demand": rule.Demand}); err != nil {
				return err
			}
		}
		return nil
	}
	t := term.NewTable(c.Stdout, "RULE", "DEMAND")
	for _, rule := range conformance.Rules() {
		t.Row(rule.Name, rule.Demand)
	}
	return t.Flush()
}
