package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// gatewayConformance is `tender gateway conformance`.
type gatewayConformance struct {
	*term.Env
	url, keyFrom, connector            string
	restart, listen, webhookSecretFrom string
	list                               bool
	options                            conformance.Options
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
requests and answers that led to it. An operation that is answered as pending is looked up
until it has ended.

Point it at a test system only. Flags name the payment methods that the system offers for
tests; without any they are those of tenderlab simulator. Rules that need a payment
method without a flag are left out.

--restart-command restarts the server and returns, so that a last rule can see what it
remembers. With --webhook-listen the server's webhooks are taken and checked: have it send
them to that address, signed with the secret that --webhook-secret-env names.

tender gateway openapi describes the protocol.`,
		Example: `  tenderlab simulator & tender gateway conformance --url http://127.0.0.1:8585
  tender gateway conformance --url https://test.bank.example/tender --api-key-env BANK_KEY \
      --approved tok_ok --declined tok_no
  tender gateway conformance --connector bank --nats nats://127.0.0.1:4222
  tender gateway conformance --url http://127.0.0.1:9000 \
      --restart-command 'systemctl restart bank' \
      --webhook-listen 127.0.0.1:8590 --webhook-secret-env BANK_SECRET
  tender gateway conformance --url http://127.0.0.1:8585 --rule concurrent-refunds --json
  tender gateway conformance --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&c.url, "url", "", "base `address` of a server over HTTP")
	flags.StringVar(&c.keyFrom, "api-key-env", "", "`variable` that holds the API key to send;\nnone is sent without it")
	flags.StringVar(&c.connector, "connector", "", "`name` of a gateway whose connector answers over NATS")
	flags.BoolVar(&c.list, "list", false, "list the rules and check nothing")
	flags.StringSliceVar(&c.options.Rules, "rule", nil, "`name` of a rule to check; may be repeated (default all)")
	cards := &c.options.Cards
	flags.StringVar(&cards.Approved, "approved", "", "payment `method` that is approved up to --amount-max")
	flags.StringVar(&cards.Declined, "declined", "", "payment `method` that is declined")
	flags.StringVar(&cards.DeclineCode, "decline-code", "", "`code` with which it is declined; default any")
	flags.StringVar(&cards.Challenged, "challenged", "", "payment `method` that asks for 3-D Secure and can be confirmed\nwithout it")
	flags.StringVar(&cards.Slow, "slow", "", "payment `method` that is approved after 250 ms or more")
	flags.StringVar(&cards.Lapsing, "lapsing", "", "payment `method` whose authorization lapses within a minute")
	flags.Int64Var(&c.options.AmountMaxMinor, "amount-max", 1_000_000, "largest `amount` to try, in minor units, 10000 or more\n")
	flags.StringVar(&c.options.Currency, "currency", "USD", "`currency` that the server takes")
	flags.StringVar(&c.options.OtherCurrency, "other-currency", "EUR", "another `currency`")
	flags.StringVar(&c.options.Tenant, "tenant", "acme", "`tenant` whose payments they are")
	flags.StringVar(&c.options.OtherTenant, "other-tenant", "globex", "a second `tenant`; - if there is one only")
	flags.DurationVar(&c.options.CallTimeout, "timeout", 10*time.Second, "longest wait for one answer")
	flags.DurationVar(&c.options.PendingTimeout, "pending-timeout", 30*time.Second, "longest wait for a pending operation to end")
	flags.StringVar(&c.restart, "restart-command", "", "shell `command` that restarts the server and returns")
	flags.StringVar(&c.listen, "webhook-listen", "", "`address` to take the server's webhooks at")
	flags.StringVar(&c.webhookSecretFrom, "webhook-secret-env", "", "`variable` that holds the secret with which they are signed")
	return cmd
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
	case c.options.CallTimeout <= 0 || c.options.PendingTimeout <= 0:
		return term.UsageError("--timeout and --pending-timeout must be greater than zero")
	case c.options.AmountMaxMinor < 10_000:
		return term.UsageError("--amount-max must be 10000 or more")
	case (c.listen == "") != (c.webhookSecretFrom == ""):
		return term.UsageError("--webhook-listen and --webhook-secret-env go together")
	case c.webhookSecretFrom != "" && term.Lookup(c.Environ, c.webhookSecretFrom) == "":
		return term.UsageError("--webhook-secret-env: the variable %s is empty", c.webhookSecretFrom)
	}
	if c.restart != "" {
		c.options.Restart = c.restartServer
	}
	if c.listen == "" {
		return c.reach(ctx)
	}
	receiver, err := conformance.Receive(ctx, c.listen, term.Lookup(c.Environ, c.webhookSecretFrom))
	if err != nil {
		return &term.ExitError{Code: term.ExitUsage, Err: err}
	}
	c.options.Webhooks = receiver
	c.Remark("taking webhooks at %s", receiver.URL())
	return errors.Join(c.reach(ctx), receiver.Close())
}

// restartServer runs the command that restarts the server. Its output goes to standard error.
func (c *gatewayConformance) restartServer(ctx context.Context) error {
	command := exec.CommandContext(ctx, "sh", "-c", c.restart) //nolint:gosec // the operator's own command
	command.Env, command.Stdout, command.Stderr = c.Environ, c.Stderr, c.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("--restart-command: %w", err)
	}
	return nil
}

// reach connects to the server and checks it.
func (c *gatewayConformance) reach(ctx context.Context) error {
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
			c.Remark("%s", strings.TrimSuffix(resultText(r), "\n"))
			return
		}
		fmt.Fprint(c.Stdout, resultText(r))
		if r.Verdict == conformance.Fail {
			fmt.Fprint(c.Stdout, hanging("          ", "            ", term.Printable(r.Reason)))
			for _, step := range r.Evidence {
				fmt.Fprint(c.Stdout, hanging("          | ", "          |   ", term.Printable(step)))
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

// resultText formats the result of one rule.
func resultText(r conformance.Result) string {
	verdict, text := "pass", r.Demand
	switch r.Verdict {
	case conformance.Pass:
	case conformance.Fail:
		verdict = "FAIL"
	case conformance.LeftOut:
		verdict, text = "left out", r.Reason
	}
	return hanging(fmt.Sprintf("%-9s %-26s ", verdict, r.Rule), strings.Repeat(" ", 37), text)
}

// columnsMax is the width that every terminal has.
const columnsMax = 80

// hanging breaks a text into lines that fit a terminal, the first behind one prefix and the others
// behind another. A word that is longer than a line stays whole.
func hanging(first, later, text string) string {
	var b strings.Builder
	b.WriteString(first)
	column := utf8.RuneCountInString(first)
	begun := false
	for word := range strings.FieldsSeq(text) {
		width := utf8.RuneCountInString(word)
		if begun && column+1+width > columnsMax {
			b.WriteString("\n" + later)
			column, begun = utf8.RuneCountInString(later), false
		}
		if begun {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column, begun = column+width, true
	}
	b.WriteByte('\n')
	return b.String()
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
	_, err := fmt.Fprintf(c.Stdout, "%-27s%s\n", "RULE", "DEMAND")
	for _, rule := range conformance.Rules() {
		if err == nil {
			_, err = fmt.Fprint(c.Stdout, hanging(fmt.Sprintf("%-27s", rule.Name), strings.Repeat(" ", 27), rule.Demand))
		}
	}
	if err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}
