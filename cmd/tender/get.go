package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// get is `tender get`.
type get struct {
	*term.Env
	tenant string
}

func newGet(e *term.Env) *cobra.Command {
	c := &get{Env: e}
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
			return app.WithStore(cmd.Context(), c.Env, func(s *store.Store) error {
				p, err := s.Get(cmd.Context(), c.tenant, id)
				if err != nil {
					return err
				}
				if c.JSON {
					return c.PrintJSON(newPaymentView(p))
				}
				return c.show(p)
			})
		},
	}
	bindTenantFilter(cmd, &c.tenant)
	return cmd
}

// bindTenantFilter adds the flag of the commands that look across tenants.
func bindTenantFilter(cmd *cobra.Command, tenant *string) {
	cmd.Flags().Var((*tenantFilter)(tenant), "tenant", "only this `tenant` (default: all)")
}

// tenantFilter is the value of such a flag: a tenant, or "_" for dead letters whose tenant is
// unreadable.
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

// paymentView shows a payment to programs: its state, and the amounts that follow from it.
type paymentView struct {
	*payment.Payment
	CapturableMinor int64     `json:"amount_capturable_minor"`
	RefundableMinor int64     `json:"amount_refundable_minor"`
	DueAt           time.Time `json:"due_at,omitzero"`
}

func newPaymentView(p *payment.Payment) paymentView {
	return paymentView{p, p.CapturableMinor(), p.RefundableMinor(), p.DueAt(time.Now())}
}

func (c *get) show(p *payment.Payment) error {
	f := term.NewFacts(c.Stdout)
	f.Add("payment", p.ID.String())
	f.Add("tenant", p.Tenant)
	f.Add("status", string(p.Status))
	if p.Created() {
		f.Add("amount", term.Amount(p.AmountMinor, p.Currency))
		f.Add("authorized", term.SomeAmount(p.AuthorizedMinor, p.Currency))
		f.Add("captured", term.SomeAmount(p.CapturedMinor, p.Currency))
		f.Add("refunded", term.SomeAmount(p.RefundedMinor, p.Currency))
		f.Add("released", term.SomeAmount(p.ReleasedMinor, p.Currency))
		f.Add("disputed", term.SomeAmount(p.DisputedMinor, p.Currency))
		f.Add("excess", term.SomeAmount(p.ExcessMinor, p.Currency))
		f.Add("shortfall", term.SomeAmount(p.ShortfallMinor, p.Currency))
		f.Add("capturable", term.SomeAmount(p.CapturableMinor(), p.Currency))
		f.Add("refundable", term.SomeAmount(p.RefundableMinor(), p.Currency))
		f.Add("capture method", string(p.CaptureMethod))
		f.Add("payment method", p.PaymentMethod)
	}
	f.Add("customer", p.CustomerID)
	f.Add("reference", p.MerchantReference)
	f.Add("gateway", p.Gateway)
	f.Add("gateway reference", p.GatewayReference)
	if p.Decline != nil {
		f.Add("declined", join(p.Decline.Code, string(p.Decline.RecommendedAction)))
	}
	f.Add("failure", p.FailureCode)
	if p.NextAction != nil {
		f.Add("next action", join(p.NextAction.Type, p.NextAction.URL))
	}
	f.Add("confirm before", term.Moment(p.ConfirmBefore))
	f.Add("capture before", term.Moment(p.CaptureBefore))
	f.Add("due at", term.Moment(p.DueAt(time.Now())))
	f.Add("created", term.Moment(p.CreatedAt))
	f.Add("updated", term.Moment(p.UpdatedAt))
	f.Add("version", fmt.Sprint(p.Version))
	if err := f.Flush(); err != nil {
		return err
	}
	return c.showOperations(p)
}

func (c *get) showOperations(p *payment.Payment) error {
	if len(p.Operations) == 0 {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "OPERATION", "KIND", "STATUS", "AMOUNT", "GATEWAY", "ATTEMPTS", "CALLS", "REFERENCE", "NEXT CHECK")
	for i := range p.Operations {
		op := &p.Operations[i]
		t.Row(op.ID, string(op.Kind), string(op.Status), term.SomeAmount(op.AmountMinor, p.Currency), op.Gateway,
			fmt.Sprint(op.Attempt), fmt.Sprint(op.Tries), op.GatewayReference, term.Moment(op.NextCheckAt))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return c.showMoney(p)
}

// showMoney shows what each operation acts on and what it moved, for those that do. Operations go
// by the end of their ids.
func (c *get) showMoney(p *payment.Payment) error {
	t := term.NewTable(c.Stdout, "OPERATION", "ACTS ON", "PURPOSE", "REVIEW", "MOVED ("+p.Currency+")")
	rows := 0
	for i := range p.Operations {
		op := &p.Operations[i]
		moved := movedBy(op, p.Currency)
		if moved == "" && op.Target == "" && op.Review == "" {
			continue
		}
		t.Row(shortID(op.ID), shortID(op.Target), string(op.Purpose), op.Review, moved)
		rows++
	}
	if rows == 0 {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	return t.Flush()
}

// shortID is the end of an operation's id, which tells a payment's operations apart.
func shortID(id string) string {
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		return "…" + id[i:]
	}
	return id
}

// movedBy describes what an operation moved. The currency is left out.
func movedBy(op *payment.Operation, currency string) string {
	amount := func(what string, minor int64) string {
		if minor == 0 {
			return ""
		}
		return what + " " + strings.TrimSuffix(term.Amount(minor, currency), " "+currency)
	}
	return join(
		amount("authorized", op.AuthorizedMinor), amount("captured", op.CapturedMinor), amount("released", op.ReleasedMinor),
		amount("refunded", op.RefundedMinor), amount("reversed", op.ReversedMinor), amount("disputed", op.DisputedMinor),
		amount("excess", op.ExcessMinor), amount("given back", op.CompensatedMinor))
}
