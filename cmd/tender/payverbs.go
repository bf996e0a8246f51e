package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
)

func newPayCreate(c *cli) *cobra.Command {
	body := &messages.Create{}
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a payment and authorize it, capturing at once unless --capture says otherwise",
		Example: `  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender pay create --amount 5000 --currency EUR --method pm_card_visa --capture manual_multiple --key order-42
  tender pay create --json-body '{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa"}'`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.String("id", "", "payment `id`, a UUID (default: a new one)")
	flags.Int64Var(&body.AmountMinor, "amount", 0, "amount in `minor` units, such as cents")
	flags.StringVar(&body.Currency, "currency", "", "ISO 4217 `code`, such as USD")
	flags.StringVar(&body.PaymentMethod, "method", "", "payment method: a `token`, never a card number")
	flags.StringVar((*string)(&body.CaptureMethod), "capture", "", "`when` to capture: automatic, manual or manual_multiple (default automatic)")
	flags.StringVar(&body.CustomerID, "customer", "", "your `id` of the customer")
	flags.StringVar(&body.MerchantReference, "reference", "", "your `reference`, such as an order number")
	flags.StringVar(&body.Country, "country", "", "the customer's country, ISO 3166 `code`")
	flags.StringToStringVar(&body.Metadata, "metadata", nil, "further `key=value` pairs")
	flags.Lookup("metadata").DefValue = "" // pflag would show "[]"
	return newPayCommand(c, cmd, messages.CommandCreate, func() messages.CommandBody {
		if len(body.Metadata) == 0 {
			body.Metadata = nil
		}
		return body
	})
}

func newPayConfirm(c *cli) *cobra.Command {
	body := &messages.Confirm{}
	cmd := &cobra.Command{
		Use:   "confirm PAYMENT",
		Short: "Go on with a payment after the customer's action, or with another payment method after a decline",
		Example: `  tender pay confirm 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --wait
  tender pay confirm 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --method pm_card_mastercard`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&body.PaymentMethod, "method", "", "another payment method, where the payment asks for one: a `token`")
	return newPayCommand(c, cmd, messages.CommandConfirm, func() messages.CommandBody { return body })
}

func newPayCapture(c *cli) *cobra.Command {
	body := &messages.Capture{}
	var minor int64
	cmd := &cobra.Command{
		Use:   "capture PAYMENT",
		Short: "Take what is authorized, all or a part",
		Example: `  tender pay capture 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --wait
  tender pay capture 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 2500 --final`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().Int64Var(&minor, "amount", 0, "part to capture, in `minor` units (default: all that is left)")
	cmd.Flags().BoolVar(&body.Final, "final", false, "release what is left after this capture")
	return newPayCommand(c, cmd, messages.CommandCapture, func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	})
}

func newPayVoid(c *cli) *cobra.Command {
	body := &messages.Void{}
	cmd := &cobra.Command{
		Use:     "void PAYMENT",
		Short:   "Release what is authorized and not captured",
		Example: `  tender pay void 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --reason "out of stock" --wait`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "`why`, for the record")
	return newPayCommand(c, cmd, messages.CommandVoid, func() messages.CommandBody { return body })
}

func newPayRefund(c *cli) *cobra.Command {
	body := &messages.Refund{}
	var minor int64
	cmd := &cobra.Command{
		Use:     "refund PAYMENT",
		Short:   "Give captured money back, all or a part",
		Example: `  tender pay refund 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --amount 500 --reason requested_by_customer --wait`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().Int64Var(&minor, "amount", 0, "part to refund, in `minor` units (default: all that is left)")
	cmd.Flags().StringVar((*string)(&body.Reason), "reason", "", "`why`: duplicate, fraudulent or requested_by_customer")
	return newPayCommand(c, cmd, messages.CommandRefund, func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	})
}
