package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
)

func newPayCreate(e *term.Env) *cobra.Command {
	body := &messages.Create{}
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create and authorize a payment; capture it at once unless --capture says otherwise",
		Example: `  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender pay create --amount 5000 --currency EUR --method pm_card_visa --key order-42 \
      --capture manual_multiple
  tender pay create --json-body \
      '{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa"}'`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.String("id", "", "payment `id`, a UUID (default: a new one)")
	flags.Int64Var(&body.AmountMinor, "amount", 0, "amount in `minor` units, such as cents")
	flags.StringVar(&body.Currency, "currency", "", "ISO 4217 `code`, such as USD")
	flags.StringVar(&body.PaymentMethod, "method", "", "payment method: a `token`, never a card number")
	flags.StringVar((*string)(&body.CaptureMethod), "capture", "", "`when` to capture: automatic, manual or manual_multiple\n(default automatic)")
	flags.StringVar(&body.CustomerID, "customer", "", "your `id` of the customer")
	flags.StringVar(&body.MerchantReference, "reference", "", "your `reference`, such as an order number")
	flags.StringVar(&body.Country, "country", "", "the customer's country, ISO 3166 `code`")
	flags.StringToStringVar(&body.Metadata, "metadata", nil, "further `key=value` pairs")
	flags.Lookup("metadata").DefValue = "" // pflag would show "[]"
	c := &pay{Env: e, name: messages.CommandCreate, compose: func() messages.CommandBody {
		if len(body.Metadata) == 0 {
			body.Metadata = nil
		}
		return body
	}}
	return c.complete(cmd)
}

func newPayConfirm(e *term.Env) *cobra.Command {
	body := &messages.Confirm{}
	cmd := &cobra.Command{
		Use:   "confirm PAYMENT",
		Short: "Continue a payment after the customer's action, or with another payment method",
		Example: `  tender pay confirm 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --wait
  tender pay confirm 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --method pm_card_mastercard`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&body.PaymentMethod, "method", "", "another payment method, if the payment asks for one: a `token`")
	c := &pay{Env: e, name: messages.CommandConfirm, compose: func() messages.CommandBody { return body }}
	return c.complete(cmd)
}

func newPayCapture(e *term.Env) *cobra.Command {
	body := &messages.Capture{}
	var minor int64
	cmd := &cobra.Command{
		Use:   "capture PAYMENT",
		Short: "Capture an authorized payment, all or a part",
		Example: `  tender pay capture 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --wait
  tender pay capture 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 2500 --final`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().Int64Var(&minor, "amount", 0, "part to capture, in `minor` units (default: the rest)")
	cmd.Flags().BoolVar(&body.Final, "final", false, "release the rest after this capture")
	c := &pay{Env: e, name: messages.CommandCapture, compose: func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	}}
	return c.complete(cmd)
}

func newPayVoid(e *term.Env) *cobra.Command {
	body := &messages.Void{}
	cmd := &cobra.Command{
		Use:     "void PAYMENT",
		Short:   "Release the authorized amount that is not captured",
		Example: `  tender pay void 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --reason "out of stock" --wait`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "`why`, for the record")
	c := &pay{Env: e, name: messages.CommandVoid, compose: func() messages.CommandBody { return body }}
	return c.complete(cmd)
}

func newPayRefund(e *term.Env) *cobra.Command {
	body := &messages.Refund{}
	var minor int64
	cmd := &cobra.Command{
		Use:   "refund PAYMENT",
		Short: "Refund captured money, all or a part",
		Example: `  tender pay refund 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 500 --wait \
      --reason requested_by_customer`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().Int64Var(&minor, "amount", 0, "part to refund, in `minor` units (default: the rest)")
	cmd.Flags().StringVar((*string)(&body.Reason), "reason", "", "`why`: duplicate, fraudulent or requested_by_customer")
	c := &pay{Env: e, name: messages.CommandRefund, compose: func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	}}
	return c.complete(cmd)
}
