package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// defaultTenant is the tenant of the pay commands without --tenant.
const defaultTenant = "default"

func newPay(e *term.Env) *cobra.Command {
	pay := &cobra.Command{
		Use:   "pay",
		Short: "Publish payment commands: create, confirm, capture, void, refund",
		Long: `Pay publishes a payment command on NATS, as a producer would. Amounts are in minor units:
1999 with USD is 19.99 USD.

Without --wait it returns as soon as JetStream has stored the command: a worker will
process it, also after a crash. With --wait it shows the outcome; exit code 1 means that
the payment was declined, refused or failed, and 4 that there is no outcome yet.

--key is the idempotency key: the same command under the same key takes effect once,
however often it is published. Without it every invocation is a new command.`,
		Example: `  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender pay refund 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 500 --wait`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	pay.AddCommand(newPayCreate(e), newPayConfirm(e), newPayCapture(e), newPayVoid(e), newPayRefund(e), newPayResolve(e),
		newPayCompensate(e))
	return pay
}

// pay is a pay command: it publishes a command of one name, and with --wait shows the outcome.
type pay struct {
	*term.Env
	name messages.CommandName
	// compose returns the body that the flags of the verb make up.
	compose func() messages.CommandBody

	tenant, key, correlation, body string
	wait                           bool
	timeout                        time.Duration
}

// complete adds to the command of one verb the flags that every pay command has, and its run.
func (c *pay) complete(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	// The flags declared up to here make up the body. --json-body gives it as a whole.
	var bodyFlags []string
	for _, flag := range flagNames(cmd) {
		if flag != "id" {
			bodyFlags = append(bodyFlags, flag)
		}
	}
	flags.StringVar(&c.tenant, "tenant", defaultTenant, "`tenant` whose payment it is")
	flags.StringVar(&c.key, "key", "", "idempotency `key` (default: a new one)")
	flags.StringVar(&c.correlation, "correlation-id", "", "`id` shared by the commands of one business transaction")
	flags.StringVar(&c.body, "json-body", "", "body of the command as `JSON`, or @file, or - for standard input,\nin place of the flags")
	flags.BoolVar(&c.wait, "wait", false, "wait for the outcome and show it")
	flags.DurationVar(&c.timeout, "timeout", 30*time.Second, "longest wait for acknowledgement and outcome together")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := paymentID(cmd, args)
		if err != nil {
			return err
		}
		command := messages.Command{
			Tenant: c.tenant, PaymentID: id, IdempotencyKey: c.key, CorrelationID: c.correlation, Body: c.compose(),
		}
		if cmd.Flags().Changed("json-body") {
			if err := term.Apart(cmd, "json-body", bodyFlags...); err != nil {
				return err
			}
			if command.Body, err = c.readBody(id); err != nil {
				return err
			}
		}
		return c.run(cmd.Context(), command)
	}
	return cmd
}

// paymentID is the argument of a command on a payment, or the --id of a create, which may be left
// out.
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

// readBody decodes a body given as JSON with the decoder of the workers, and so refuses the same
// bodies as they do.
func (c *pay) readBody(id uuid.UUID) (messages.CommandBody, error) {
	body := []byte(c.body)
	var err error
	switch file, isFile := strings.CutPrefix(c.body, "@"); {
	case c.body == "-":
		body, err = io.ReadAll(io.LimitReader(c.Stdin, messages.BodySizeMax+1))
	case isFile:
		body, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, term.UsageError("read --json-body: %w", err)
	}
	subject, err := messages.CommandSubject(c.tenant, c.name, id)
	if err != nil {
		return nil, err
	}
	header := nats.Header{messages.HeaderIdempotencyKey: {"any"}}
	command, err := messages.DecodeCommand(subject, header, bytes.TrimSpace(body))
	return command.Body, err
}

// run publishes a command and, with --wait, shows the outcome.
func (c *pay) run(ctx context.Context, command messages.Command) error {
	cfg, err := c.Load()
	if err != nil {
		return err
	}
	b, err := app.OpenBus(cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	client, err := client.New(b.NC, client.Config{Tenant: c.tenant, Source: "tender-cli", Now: c.Now})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// The outcome may come before the acknowledgement: listen first.
	letters, err := listenForDeadLetter(b.NC, command)
	if err != nil {
		return err
	}
	ack, err := client.Publish(ctx, command)
	if err != nil {
		return publishFailed(ctx, ack, err)
	}
	result := newPublished(ack)
	if !c.wait {
		return c.showPublished(result)
	}
	if !c.JSON {
		c.Remark("%s", result)
	}
	return c.await(ctx, client, letters, result)
}

func publishFailed(ctx context.Context, ack client.Ack, err error) error {
	if ctx.Err() == nil || context.Cause(ctx) == context.Canceled { //nolint:errorlint // the sentinel itself, as the context gives it
		return err
	}
	return term.TimeoutError("NATS did not acknowledge in time, so the command may or may not be stored: publish it again as payment %s with --key %q: %w",
		ack.Command.PaymentID, ack.Command.IdempotencyKey, err)
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// published describes a command that JetStream has stored.
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

// String describes it in one line.
func (p published) String() string {
	if p.Duplicate {
		return fmt.Sprintf("%s of payment %s was published before (%s %d): the first one stands", p.Command, p.PaymentID, p.Stream, p.Sequence)
	}
	return fmt.Sprintf("published %s of payment %s (%s %d)", p.Command, p.PaymentID, p.Stream, p.Sequence)
}

// currency is the currency of the command's amounts, "" if it names none.
func (p published) currency() string {
	if create, ok := p.command.Body.(*messages.Create); ok {
		return create.Currency
	}
	return ""
}

func (c *pay) showPublished(p published) error {
	if c.JSON {
		return c.PrintJSON(p)
	}
	_, err := fmt.Fprintln(c.Stdout, p)
	return err
}

// listenForDeadLetter receives the dead letter that the command may become. A user without the
// right to subscribe there receives none, and waits for the outcome alone.
func listenForDeadLetter(nc *nats.Conn, command messages.Command) (<-chan *nats.Msg, error) {
	subject, err := messages.CommandSubject(command.Tenant, command.Name(), command.PaymentID)
	if err != nil {
		return nil, err
	}
	letters := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe(messages.DeadLetterSubject(subject), letters); err != nil {
		return nil, fmt.Errorf("listen for dead letters: %w", err)
	}
	return letters, nil
}

// outcome is the end of a command: an event, or a dead letter.
type outcome struct {
	published
	Event      json.RawMessage `json:"event,omitempty"`
	DeadLetter *deadLetterView `json:"dead_letter,omitempty"`
}

// deadLetterView is the reason for a dead letter.
type deadLetterView struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// await shows the end of the command. Unless the command had the effect that it asked for, it says
// no.
func (c *pay) await(ctx context.Context, client *client.Client, letters <-chan *nats.Msg, p published) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ending struct {
		event messages.Event
		err   error
	}
	ended := make(chan ending, 1)
	go func() {
		event, err := client.Wait(ctx, p.command)
		ended <- ending{event, err}
	}()
	for {
		select {
		case e := <-ended:
			if errors.Is(e.err, context.DeadlineExceeded) {
				return term.TimeoutError("no outcome within %s; payment %s is still in progress: tender get %s", c.timeout, p.PaymentID, p.PaymentID)
			}
			if e.err != nil {
				return e.err
			}
			return c.showOutcome(p, e.event)
		case letter := <-letters:
			if letter.Header.Get(deadletter.HeaderSequence) == fmt.Sprint(p.Sequence) {
				return c.showDeadLetter(p, letter.Header)
			}
		}
	}
}

func (c *pay) showOutcome(p published, event messages.Event) error {
	view, err := eventJSON(event)
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.PrintJSON(outcome{published: p, Event: view})
	} else {
		text := string(event.Type())
		if detail := (narrator{p.currency()}).describe(event); detail != "" {
			text += ": " + detail
		}
		_, err = fmt.Fprintf(c.Stdout, "payment %s is %s (%s)\n", p.PaymentID, event.Status, term.Printable(text))
	}
	if err != nil || asAsked(event) {
		return err
	}
	if rejected, ok := event.Data.(*messages.CommandRejected); ok && rejected.Code == messages.RejectPaymentNotFound {
		c.hintTenant(p)
	}
	return term.SayNo()
}

// hintTenant names the tenant of the command, for users who left --tenant out.
func (c *pay) hintTenant(p published) {
	c.Remark("the command named the tenant %s; --tenant names another", p.Tenant)
}

func (c *pay) showDeadLetter(p published, header nats.Header) error {
	view := deadLetterView{Reason: header.Get(deadletter.HeaderReason), Detail: header.Get(deadletter.HeaderDetail)}
	var err error
	if c.JSON {
		err = c.PrintJSON(outcome{published: p, DeadLetter: &view})
	} else {
		_, err = fmt.Fprintf(c.Stdout, "the command became a dead letter (%s): %s\n", term.Printable(view.Reason), term.Printable(view.Detail))
	}
	if err != nil {
		return err
	}
	if view.Reason == deadletter.ReasonPaymentNotFound {
		c.hintTenant(p)
	}
	return term.SayNo()
}

// asAsked reports whether an event that ends a command is the effect that the command asked for, or
// a step towards it.
func asAsked(event messages.Event) bool {
	switch event.Data.(type) {
	case *messages.PaymentAuthorized, *messages.PaymentCaptured, *messages.PaymentActionRequired, *messages.PaymentVoided,
		*messages.RefundSucceeded, *messages.PaymentOutcomeResolved, *messages.PaymentCompensated:
		return true
	default:
		return false
	}
}
