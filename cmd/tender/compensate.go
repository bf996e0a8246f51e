package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func newPayCompensate(e *term.Env) *cobra.Command {
	cmd, _ := newCompensate(e)
	cmd.Short = "Give back what an operation moved in excess (operators only)"
	cmd.Long += "\n\nTender review compensate does the same and finds the operation by itself."
	cmd.Example = `  tender get 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10             # names the operation
  tender pay compensate 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 \
      --operation 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10-1 \
      --actor jane@example.com --reason "charged by two gateways" --wait`
	return cmd
}

// newReviewCompensate is pay compensate for users of review ls: it reads from the database the
// tenant and the operation.
func newReviewCompensate(e *term.Env) *cobra.Command {
	cmd, body := newCompensate(e)
	cmd.Short = "Give back what an operation moved in excess"
	cmd.Long += "\n\nWithout --operation it takes the only operation of the payment that has an excess, and\nwithout --tenant the payment's tenant."
	cmd.Example = `  tender review compensate 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 \
      --actor jane@example.com --reason "charged by two gateways" --wait
  tender review compensate 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 1 \
      --actor jane@example.com --reason "one cent too much"`
	findOperation(e, cmd, &body.OperationID, operationWithExcess)
	return cmd
}

// newCompensate returns the command without its texts, and the body that its flags fill in.
func newCompensate(e *term.Env) (*cobra.Command, *messages.Compensate) {
	body := &messages.Compensate{}
	var minor int64
	cmd := &cobra.Command{
		Use: "compensate PAYMENT",
		Long: `Compensate gives back money that an operation moved beyond what may be booked: a second
charge, an amount above the one asked for. It voids or refunds that operation by itself,
at its own gateway; the rest of the payment stays as it is. When nothing of the excess is
left, the review of the operation ends.`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&body.OperationID, "operation", "", "`id` of the operation, as in tender get and tender history")
	flags.Int64Var(&minor, "amount", 0, "part to give back, in `minor` units (default: all of the excess)")
	flags.StringVar(&body.Actor, "actor", "", "`person` who decided it: you")
	flags.StringVar(&body.Reason, "reason", "", "`reason` for giving it back")
	c := &pay{Env: e, name: messages.CommandCompensate, compose: func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	}}
	return c.complete(cmd), body
}

// operationWithExcess is the only operation of a payment that moved an excess which can be given
// back. A refund's cannot: the customer has it.
func operationWithExcess(p *payment.Payment) (string, error) {
	var found []string
	for i := range p.Operations {
		if op := &p.Operations[i]; op.ExcessMinor > 0 && op.Kind != messages.OperationRefund {
			found = append(found, op.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", term.NoSuch("no operation of payment %s has an excess that can be given back", p.ID)
	case 1:
		return found[0], nil
	default:
		return "", term.UsageError("several operations of payment %s have an excess: name one with --operation: %s", p.ID, strings.Join(found, ", "))
	}
}
