package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
)

// defaultTenant is whose payments the pay commands make unless --tenant says otherwise.
const defaultTenant = "default"

func newPay(c *cli) *cobra.Command {
	pay := &cobra.Command{
		Use:   "pay",
		Short: "Publish payment commands: create, confirm, capture, void, refund",
		Long: `Pay publishes a payment command on NATS, as a producer would. Amounts are in minor units: 1999 with USD is 19.99 USD.

Without --wait it returns as soon as JetStream has stored the command: it will be handled, whatever happens. With --wait
it shows the outcome; exit code 1 means that the payment was declined, refused or failed, and 4 that there is no outcome yet.

--key is the idempotency key: the same command under the same key happens once, however often it is published. Without it
every invocation is a new command.`,
		Example: `  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender pay refund 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 500 --wait`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	pay.AddCommand(newPayCreate(c), newPayConfirm(c), newPayCapture(c), newPayVoid(c), newPayRefund(c), newPayResolve(c))
	return pay
}

// payFlags are those that every pay command has.
type payFlags struct {
	tenant, key, correlation, body string
	wait                           bool
	timeout                        time.Duration
}

// newPayCommand completes the command of one verb, whose own flags are those of the body that compose makes.
func newPayCommand(c *cli, cmd *cobra.Command, name messages.CommandName, compose func() messages.CommandBody) *cobra.Command {
	var f payFlags
	flags := cmd.Flags()
	// What is declared up to here makes up the body, which --json-body gives as a whole.
	var bodyFlags []string
	for _, flag := range flagNames(cmd) {
		if flag != "id" {
			bodyFlags = append(bodyFlags, flag)
		}
	}
	flags.StringVar(&f.tenant, "tenant", defaultTenant, "`tenant` whose payment it is")
	flags.StringVar(&f.key, "key", "", "idempotency `key` (default: a new one)")
	flags.StringVar(&f.correlation, "correlation-id", "", "`id` that ties together what belongs to one business transaction")
	flags.StringVar(&f.body, "json-body", "", "body of the command as `JSON`, or @file, or - for standard input, in place of the flags")
	flags.BoolVar(&f.wait, "wait", false, "wait for the outcome and show it")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "longest wait, for the acknowledgement and the outcome together")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := paymentID(cmd, args)
		if err != nil {
			return err
		}
		command := messages.Command{
			Tenant: f.tenant, PaymentID: id, IdempotencyKey: f.key, CorrelationID: f.correlation, Body: compose(),
		}
		if cmd.Flags().Changed("json-body") {
			if err := apart(cmd, "json-body", bodyFlags...); err != nil {
				return err
			}
			if command.Body, err = c.readBody(f, name, id); err != nil {
				return err
			}
		}
		return c.pay(cmd.Context(), f, command)
	}
	return cmd
}

// paymentID is the argument of a command on a payment, or the --id of a create, which may be left out.
func paymentID(cmd *cobra.Command, args []string) (uuid.UUID, error) {
	given := ""
	if len(args) > 0 {
		given = args[0]
	} else if flag := cmd.Flags().Lookup("id"); flag != nil {
		given = flag.Value.String()
	}
	if given == "" {
		return uuid.NewV7()
	}
	return messages.ParsePaymentID(given)
}

// readBody decodes a body given as JSON with the decoder of the workers, so that what it refuses is refused here.
func (c *cli) readBody(f payFlags, name messages.CommandName, id uuid.UUID) (messages.CommandBody, error) {
	body := []byte(f.body)
	var err error
	switch file, isFile := strings.CutPrefix(f.body, "@"); {
	case f.body == "-":
		body, err = io.ReadAll(io.LimitReader(c.stdin, messages.BodySizeMax+1))
	case isFile:
		body, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usageError("read --json-body: %w", err)
	}
	subject, err := messages.CommandSubject(f.tenant, name, id)
	if err != nil {
		return nil, err
	}
	header := nats.Header{messages.HeaderIdempotencyKey: {"any"}}
	command, err := messages.DecodeCommand(subject, header, bytes.TrimSpace(body))
	return command.Body, err
}

// pay publishes a command and, if asked to, waits for what comes of it.
func (c *cli) pay(ctx context.Context, f payFlags, command messages.Command) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	b, err := openBus(cfg)
	if err != nil {
		return err
	}
	defer b.close()
	client, err := client.New(b.nc, client.Config{Tenant: f.tenant, Source: "tender-cli", Now: c.now})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	// The answer may come before the acknowledgement: listen first.
	letters, err := listenForDeadLetter(b.nc, command)
	if err != nil {
		return err
	}
	ack, err := client.Publish(ctx, command)
	if err != nil {
		return publishFailed(ctx, ack, err)
	}
	result := newPublished(ack)
	if !f.wait {
		return c.showPublished(result)
	}
	if !c.json {
		c.remark("%s", result)
	}
	return c.await(ctx, client, letters, result, f.timeout)
}

func publishFailed(ctx context.Context, ack client.Ack, err error) error {
	if ctx.Err() == nil || context.Cause(ctx) == context.Canceled { //nolint:errorlint // the sentinel itself, as the context gives it
		return err
	}
	return timeoutError("NATS did not acknowledge in time, so the command may or may not be stored: publish it again as payment %s with --key %q: %w",
		ack.Command.PaymentID, ack.Command.IdempotencyKey, err)
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// published is what is known once a command is stored, and then its outcome.
type published struct {
	command        messages.Command
	Command        messages.CommandName `json:"command"`
	PaymentID      uuid.UUID            `json:"payment_id"`
	Tenant         string               `json:"tenant"`
	CommandID      string               `json:"command_id"`
	IdempotencyKey string               `json:"idempotency_key"`
	CorrelationID  string               `json:"correlation_id"`
	Stream         string               `json:"stream"`
	Sequence       uint64               `json:"sequence"`
	Duplicate      bool                 `json:"duplicate"`
}

func newPublished(ack client.Ack) published {
	cmd := ack.Command
	return published{
		command: cmd, Command: cmd.Name(), PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, CommandID: cmd.ID,
		IdempotencyKey: cmd.IdempotencyKey, CorrelationID: cmd.CorrelationID,
		Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate,
	}
}

// String says it in one line.
func (p published) String() string {
	if p.Duplicate {
		return fmt.Sprintf("%s of payment %s was published before (%s %d): the first one stands", p.Command, p.PaymentID, p.Stream, p.Sequence)
	}
	return fmt.Sprintf("published %s of payment %s (%s %d)", p.Command, p.PaymentID, p.Stream, p.Sequence)
}

// currency is that of the command's amounts, if it names one.
func (p published) currency() string {
	if create, ok := p.command.Body.(*messages.Create); ok {
		return create.Currency
	}
	return ""
}

func (c *cli) showPublished(p published) error {
	if c.json {
		return c.printJSON(p)
	}
	_, err := fmt.Fprintln(c.stdout, p)
	return err
}
