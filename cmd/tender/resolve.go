package main

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func newPayResolve(c *cli) *cobra.Command {
	cmd, _ := newResolve(c)
	cmd.Short = "Record what you found out about an operation in manual review (operators only)"
	cmd.Long += "\n\nTender review resolve does the same and finds the operation by itself."
	cmd.Example = `  tender history 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10         # names the operation
  tender pay resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --operation 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10-1 \
      --outcome succeeded --actor jane@example.com --reason "in the settlement file of 3 March" --wait`
	return cmd
}

// newReviewResolve is pay resolve for somebody who comes from review ls: what the database knows need not be said.
func newReviewResolve(c *cli) *cobra.Command {
	cmd, body := newResolve(c)
	cmd.Short = "Record what you found out about an operation in review"
	cmd.Long += "\n\nThe operation may be left out where only one of the payment is in review, and the tenant is the payment's."
	cmd.Example = `  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --outcome failed --actor jane@example.com \
      --reason "not in any settlement file" --evidence https://example.com/cases/17 --wait
  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --operation 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10-3 \
      --outcome succeeded --actor jane@example.com --reason "confirmed by telephone"`
	publish := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := messages.ParsePaymentID(args[0])
		if err != nil {
			return err
		}
		flags := cmd.Flags()
		knows := flags.Changed("tenant") && (flags.Changed("operation") || flags.Changed("json-body"))
		if !knows {
			p, err := c.findPayment(cmd.Context(), givenTenant(cmd), id)
			if err != nil {
				return err
			}
			if err := flags.Set("tenant", p.Tenant); err != nil {
				return usageError("%w", err)
			}
			if body.OperationID == "" && !flags.Changed("json-body") {
				if body.OperationID, err = operationInReview(p); err != nil {
					return err
				}
			}
		}
		return publish(cmd, args)
	}
	return cmd
}

// newResolve is the command without its texts, and the body that its flags fill in.
func newResolve(c *cli) (*cobra.Command, *messages.Resolve) {
	body := &messages.Resolve{}
	cmd := &cobra.Command{
		Use: "resolve PAYMENT",
		Long: `Resolve ends a manual review: you have asked the payment provider, by other means than tender could, whether the operation
happened. What you say becomes part of the history under your name, and moves the payment on.`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&body.OperationID, "operation", "", "`id` of the operation, as in tender get and tender history")
	flags.StringVar((*string)(&body.Outcome), "outcome", "", "`what` happened at the gateway: succeeded or failed")
	flags.StringVar(&body.Actor, "actor", "", "`who` found out: you")
	flags.StringVar(&body.Reason, "reason", "", "`how` you know")
	flags.StringVar(&body.Evidence, "evidence", "", "what shows it, such as a `link`")
	flags.StringVar(&body.GatewayReference, "gateway-reference", "", "the gateway's `id` of what it did")
	return newPayCommand(c, cmd, messages.CommandResolve, func() messages.CommandBody { return body }), body
}

// givenTenant is the value of --tenant, "" where it was left out.
func givenTenant(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("tenant"); flag.Changed {
		return flag.Value.String()
	}
	return ""
}

func (c *cli) findPayment(ctx context.Context, tenant string, id uuid.UUID) (p *payment.Payment, err error) {
	err = c.withStore(ctx, func(s *store.Store) error {
		p, err = s.Get(ctx, tenant, id)
		return err
	})
	return p, err
}

// operationInReview is the one operation of a payment that needs a person.
func operationInReview(p *payment.Payment) (string, error) {
	var waiting, unknown []string
	for i := range p.Operations {
		switch op := &p.Operations[i]; {
		case needsPerson(op):
			waiting = append(waiting, op.ID)
		case op.Status == payment.OperationUnknown:
			unknown = append(unknown, op.ID)
		}
	}
	switch {
	case len(waiting) == 1:
		return waiting[0], nil
	case len(waiting) > 1:
		return "", usageError("several operations of payment %s are in review: name one with --operation: %s", p.ID, strings.Join(waiting, ", "))
	case len(unknown) > 0:
		return "", noSuch("payment %s is not in review yet: the gateway is still being asked; name the operation to end that: --operation %s",
			p.ID, strings.Join(unknown, " or "))
	default:
		return "", noSuch("payment %s is not in review: it is %s", p.ID, p.Status)
	}
}
