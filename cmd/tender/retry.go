package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
)

func newRetry(e *term.Env) *cobra.Command {
	var tenant string
	timeout := 30 * time.Second
	cmd := &cobra.Command{
		Use:   "retry PAYMENT",
		Short: "Try a parked payment now, before its time",
		Long: `A payment whose gateway could not be reached is parked: it waits on a timer, as tender
timers ls shows. Retry asks the workers to try it now. It changes nothing else: an
operation that may have reached its gateway is never sent on a person's word, and a
payment that waits for nothing stays as it is. It may be repeated.`,
		Example: `  tender timers ls --overdue
  tender retry 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messages.ParsePaymentID(args[0])
			if err != nil {
				return err
			}
			// The database says whether there is such a payment, and whose it is.
			p, err := findPayment(cmd.Context(), e, tenant, id)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return app.WithBus(e, func(b *app.Bus) error {
				producer, err := client.New(b.NC, client.Config{Tenant: p.Tenant, Source: "tender-cli", Now: e.Now})
				if err != nil {
					return err
				}
				ack, err := producer.Publish(ctx, messages.Command{PaymentID: id, Body: &messages.Resume{Now: true}})
				if err != nil {
					return publishFailed(ctx, ack, err)
				}
				return (&pay{Env: e}).showPublished(newPublished(ack))
			})
		},
	}
	bindTenantFilter(cmd, &tenant)
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "longest wait for the acknowledgement")
	return cmd
}
