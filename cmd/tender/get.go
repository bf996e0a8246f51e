package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func newGet(c *cli) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "get PAYMENT",
		Short: "Show a payment as it stands",
		Example: `  tender get 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender get 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --json | jq .status`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messages.ParsePaymentID(args[0])
			if err != nil {
				return err
			}
			return c.withStore(cmd.Context(), func(s *store.Store) error {
				p, err := s.Get(cmd.Context(), tenant, id)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(newPaymentView(p))
				}
				return c.showPayment(p)
			})
		},
	}
	bindTenantFilter(cmd, &tenant)
	return cmd
}

// bindTenantFilter adds the flag of the commands that look across tenants.
func bindTenantFilter(cmd *cobra.Command, tenant *string) {
	cmd.Flags().Var((*tenantFilter)(tenant), "tenant", "only this `tenant` (default: all)")
}

// tenantFilter is the value of such a flag: a tenant, or "_" for dead letters whose tenant can't be read.
type tenantFilter string

// Set implements pflag.Value.
func (f *tenantFilter) Set(text string) error {
	if text != "_" {
		if err := messages.ValidateTenant(text); err != nil {
			return err
		}
	}
	*f = tenantFilter(text)
	return nil
}

// String implements pflag.Value.
func (f *tenantFilter) String() string { return string(*f) }

// Type implements pflag.Value.
func (*tenantFilter) Type() string { return "string" }

// withDatabase opens the database for one command.
func (c *cli) withDatabase(ctx context.Context, do func(*pgxpool.Pool) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	pool, err := openDatabase(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

// withStore opens the store for one command.
func (c *cli) withStore(ctx context.Context, do func(*store.Store) error) error {
	return c.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		s := store.New(pool, store.Config{Committers: 1, Loaders: 1}, zap.NewNop())
		defer s.Close()
		return do(s)
	})
}

// paymentView shows a payment to programs: its state, and the amounts that follow from it.
type paymentView struct {
	*payment.Payment
	CapturableMinor int64     `json:"amount_capturable_minor"`
	RefundableMinor int64     `json:"amount_refundable_minor"`
	DueAt           time.Time `json:"due_at,omitzero"`
}

func newPaymentView(p *payment.Payment) paymentView {
	return paymentView{p, p.CapturableMinor(), p.RefundableMinor(), p.DueAt()}
}

func (c *cli) showPayment(p *payment.Payment) error {
	f := newFacts(c.stdout)
	f.add("payment", p.ID.String())
	f.add("tenant", p.Tenant)
	f.add("status", string(p.Status))
	if p.Created() {
		f.add("amount", amount(p.AmountMinor, p.Currency))
		f.add("authorized", someAmount(p.AuthorizedMinor, p.Currency))
		f.add("captured", someAmount(p.CapturedMinor, p.Currency))
		f.add("refunded", someAmount(p.RefundedMinor, p.Currency))
		f.add("released", someAmount(p.ReleasedMinor, p.Currency))
		f.add("capturable", someAmount(p.CapturableMinor(), p.Currency))
		f.add("refundable", someAmount(p.RefundableMinor(), p.Currency))
		f.add("capture method", string(p.CaptureMethod))
		f.add("payment method", p.PaymentMethod)
	}
	f.add("customer", p.CustomerID)
	f.add("reference", p.MerchantReference)
	f.add("gateway", p.Gateway)
	f.add("gateway reference", p.GatewayReference)
	if p.Decline != nil {
		f.add("declined", join(p.Decline.Code, string(p.Decline.RecommendedAction)))
	}
	f.add("failure", p.FailureCode)
	if p.NextAction != nil {
		f.add("next action", join(p.NextAction.Type, p.NextAction.URL))
	}
	f.add("confirm before", moment(p.ConfirmBefore))
	f.add("capture before", moment(p.CaptureBefore))
	f.add("due at", moment(p.DueAt()))
	f.add("created", moment(p.CreatedAt))
	f.add("updated", moment(p.UpdatedAt))
	f.add("version", fmt.Sprint(p.Version))
	if err := f.flush(); err != nil {
		return err
	}
	return c.showOperations(p)
}

func (c *cli) showOperations(p *payment.Payment) error {
	if len(p.Operations) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "OPERATION", "KIND", "STATUS", "AMOUNT", "GATEWAY", "ATTEMPTS", "CALLS", "REFERENCE", "NEXT CHECK")
	for i := range p.Operations {
		op := &p.Operations[i]
		t.row(op.ID, string(op.Kind), string(op.Status), someAmount(op.AmountMinor, p.Currency), op.Gateway,
			fmt.Sprint(op.Attempt), fmt.Sprint(op.Tries), op.GatewayReference, moment(op.NextCheckAt))
	}
	return t.flush()
}
