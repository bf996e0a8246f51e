package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func newReview(e *term.Env) *cobra.Command {
	review := &cobra.Command{
		Use:   "review",
		Short: "List operations that need a person, record the outcome, give an excess back",
		Long: `An operation comes to review when its gateway never reported its outcome, moved another
amount than requested, or later contradicted the recorded outcome. No money of the payment
moves meanwhile: a person must find the outcome at the provider or in its settlement
files, and record it with tender review resolve. Money that moved twice, or beyond what
was asked for, is an excess: tender review compensate gives it back.`,
		Example: `  tender review ls
  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --outcome succeeded \
      --actor jane@example.com --reason "in the settlement file of 3 March" --wait
  tender review compensate 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 \
      --actor jane@example.com --reason "charged by two gateways" --wait`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	review.AddCommand(newReviewList(e), newReviewResolve(e), newReviewCompensate(e))
	return review
}

// reviewList is `tender review ls`.
type reviewList struct {
	*term.Env
	tenant, gateway string
	limit           int
}

func newReviewList(e *term.Env) *cobra.Command {
	c := &reviewList{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List operations in review, the oldest first",
		Long: `Ls shows every operation that needs a person, with the time and the REASON of its review.
To find it at the gateway, use the time at which it was first SENT and the gateway's
REFERENCE. EXCESS is the amount that moved beyond what may be booked.

  outcome_unknown      the gateway never reported whether it did the operation
  amount_mismatch      the gateway moved another amount than requested
  contradiction        the gateway later contradicted the recorded outcome (RECORDED)
  reversal             the bank took back money that had been refunded
  dispute              a dispute was lost over money that had been refunded
  void_refused         the gateway refused a void and does not say what it did instead
  processing_overdue   the gateway has processed the operation for too long`,
		Example: `  tender review ls
  tender review ls --gateway primary --json | jq -r .operation_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.WithStore(cmd.Context(), c.Env, func(s *store.Store) error { return c.run(cmd.Context(), s) })
		},
	}
	bindTenantFilter(cmd, &c.tenant)
	cmd.Flags().StringVar(&c.gateway, "gateway", "", "only operations at this `gateway`")
	cmd.Flags().IntVar(&c.limit, "limit", 0, "maximum of operations (default: all)")
	return cmd
}

// reviewView shows one operation in review.
type reviewView struct {
	PaymentID   uuid.UUID              `json:"payment_id"`
	OperationID string                 `json:"operation_id"`
	Tenant      string                 `json:"tenant"`
	Kind        messages.OperationKind `json:"kind"`
	// Recorded is the status of the operation: manual_review, or the outcome that the gateway
	// contradicted.
	Recorded          payment.OperationStatus `json:"recorded"`
	AmountMinor       int64                   `json:"amount_minor"`
	ExcessMinor       int64                   `json:"amount_excess_minor,omitempty"`
	Currency          string                  `json:"currency"`
	Gateway           string                  `json:"gateway"`
	GatewayReference  string                  `json:"gateway_reference,omitempty"`
	MerchantReference string                  `json:"merchant_reference,omitempty"`
	// SentAt is the time of the first call to the gateway, CallsMade the number of calls.
	SentAt    time.Time `json:"sent_at,omitzero"`
	CallsMade int       `json:"calls,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
}

func (c *reviewList) run(ctx context.Context, s *store.Store) error {
	reviews, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	if more := len(reviews) - c.limit; c.limit > 0 && more > 0 {
		reviews = reviews[:c.limit]
		c.Remark("there are %d more", more)
	}
	if c.JSON {
		for _, r := range reviews {
			if err := c.PrintJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := term.NewTable(c.Stdout, "SINCE", "PAYMENT", "OPERATION", "TENANT", "KIND", "AMOUNT", "EXCESS", "GATEWAY", "RECORDED", "REASON",
		"SENT", "REFERENCE", "DETAIL")
	for _, r := range reviews {
		t.Row(term.Moment(r.Since), r.PaymentID.String(), r.OperationID, r.Tenant, string(r.Kind), term.SomeAmount(r.AmountMinor, r.Currency),
			term.SomeAmount(r.ExcessMinor, r.Currency), r.Gateway, string(r.Recorded), r.Reason, term.Moment(r.SentAt), r.GatewayReference, r.Detail)
	}
	return t.Flush()
}

// find reads every payment in review. In a healthy deployment they are few.
func (c *reviewList) find(ctx context.Context, s *store.Store) ([]reviewView, error) {
	const pageSize = 1000
	var reviews []reviewView
	page := store.Page{Limit: pageSize}
	for {
		listed, err := s.List(ctx, store.ListFilter{Tenant: c.tenant, Status: messages.StatusReview}, page)
		if err != nil {
			return nil, err
		}
		ids := make([]uuid.UUID, len(listed.Payments))
		for i, p := range listed.Payments {
			ids[i] = p.ID
		}
		opened, err := s.ReviewEvents(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, p := range listed.Payments {
			reviews = append(reviews, reviewsOf(p, opened[p.ID], c.gateway)...)
		}
		if page.After = listed.Next; page.After == "" {
			break
		}
	}
	slices.SortFunc(reviews, func(a, b reviewView) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.OperationID, b.OperationID))
	})
	return reviews, nil
}

// reviewsOf lists the operations of one payment that need a person. The time and the reason come
// from the events that opened its reviews.
func reviewsOf(p *payment.Payment, events []messages.Event, gateway string) []reviewView {
	var reviews []reviewView
	for i := range p.Operations {
		if op := &p.Operations[i]; op.InReview() && (gateway == "" || op.Gateway == gateway) {
			reviews = append(reviews, reviewView{
				PaymentID: p.ID, OperationID: op.ID, Tenant: p.Tenant, Kind: op.Kind, Recorded: op.Status,
				AmountMinor: op.AmountMinor, ExcessMinor: op.ExcessMinor, Currency: p.Currency, Gateway: op.Gateway,
				GatewayReference: cmp.Or(op.GatewayReference, p.GatewayReference), MerchantReference: p.MerchantReference,
				SentAt: op.FirstSentAt, CallsMade: op.Tries,
			})
		}
	}
	for _, e := range events {
		opened, ok := e.Data.(*messages.PaymentReviewOpened)
		if !ok {
			continue
		}
		for i := range reviews {
			if r := &reviews[i]; r.OperationID == opened.OperationID {
				r.Since, r.Reason, r.Detail = e.OccurredAt, opened.Reason, opened.Detail
			}
		}
	}
	return reviews
}

func newPayResolve(e *term.Env) *cobra.Command {
	cmd, _ := newResolve(e)
	cmd.Short = "Record the outcome of an operation that is unknown or in review (operators only)"
	cmd.Long += "\n\nTender review resolve does the same and finds the operation by itself."
	cmd.Example = `  tender history 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10         # names the operation
  tender pay resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 \
      --operation 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10-1 --outcome succeeded \
      --actor jane@example.com --reason "in the settlement file of 3 March" --wait`
	return cmd
}

// newReviewResolve is pay resolve for users of review ls: it reads from the database the tenant and
// the operation.
func newReviewResolve(e *term.Env) *cobra.Command {
	cmd, body := newResolve(e)
	cmd.Short = "Record the outcome of an operation in review"
	cmd.Long += "\n\nWithout --operation it takes the only operation of the payment that is in review, and\nwithout --tenant the payment's tenant."
	cmd.Example = `  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --outcome failed \
      --actor jane@example.com --reason "not in any settlement file" \
      --evidence https://example.com/cases/17 --wait
  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 \
      --operation 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10-3 --outcome succeeded \
      --actor jane@example.com --reason "confirmed by telephone"`
	findOperation(e, cmd, &body.OperationID, operationInReview)
	return cmd
}

// findOperation makes a command read from the database the tenant and the operation that its flags
// leave out.
func findOperation(e *term.Env, cmd *cobra.Command, operationID *string, choose func(*payment.Payment) (string, error)) {
	publish := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := messages.ParsePaymentID(args[0])
		if err != nil {
			return err
		}
		flags := cmd.Flags()
		knows := flags.Changed("tenant") && (flags.Changed("operation") || flags.Changed("json-body"))
		if !knows {
			p, err := findPayment(cmd.Context(), e, givenTenant(cmd), id)
			if err != nil {
				return err
			}
			if err := flags.Set("tenant", p.Tenant); err != nil {
				return term.UsageError("%w", err)
			}
			if *operationID == "" && !flags.Changed("json-body") {
				if *operationID, err = choose(p); err != nil {
					return err
				}
			}
		}
		return publish(cmd, args)
	}
}

// newResolve returns the command without its texts, and the body that its flags fill in.
func newResolve(e *term.Env) (*cobra.Command, *messages.Resolve) {
	body := &messages.Resolve{}
	var minor int64
	cmd := &cobra.Command{
		Use: "resolve PAYMENT",
		Long: `Resolve ends a review: you have found out from the payment provider whether the operation
happened, and how much it moved. Your answer becomes part of the history under your name,
and the payment continues from it. While the review is open you may correct it: the
latest answer stands.`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&body.OperationID, "operation", "", "`id` of the operation, as in tender get and tender history")
	flags.StringVar((*string)(&body.Outcome), "outcome", "", "`outcome` at the gateway: succeeded or failed")
	flags.Int64Var(&minor, "amount", 0, "amount that moved, in `minor` units, with succeeded (default: the\namount that the gateway reported, else the amount asked for)")
	flags.StringVar(&body.Actor, "actor", "", "`person` who found out: you")
	flags.StringVar(&body.Reason, "reason", "", "`reason` for the outcome")
	flags.StringVar(&body.Evidence, "evidence", "", "proof of it, such as a `link`")
	flags.StringVar(&body.GatewayReference, "gateway-reference", "", "the gateway's `id` of the operation")
	c := &pay{Env: e, name: messages.CommandResolve, compose: func() messages.CommandBody {
		if cmd.Flags().Changed("amount") {
			body.AmountMinor = &minor
		}
		return body
	}}
	return c.complete(cmd), body
}

// givenTenant is the value of --tenant, "" if it was not given.
func givenTenant(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("tenant"); flag.Changed {
		return flag.Value.String()
	}
	return ""
}

func findPayment(ctx context.Context, e *term.Env, tenant string, id uuid.UUID) (p *payment.Payment, err error) {
	err = app.WithStore(ctx, e, func(s *store.Store) error {
		p, err = s.Get(ctx, tenant, id)
		return err
	})
	return p, err
}

// operationInReview is the only operation of a payment that needs a person.
func operationInReview(p *payment.Payment) (string, error) {
	var waiting, unknown []string
	for i := range p.Operations {
		switch op := &p.Operations[i]; {
		case op.InReview():
			waiting = append(waiting, op.ID)
		case op.Status == payment.OperationUnknown:
			unknown = append(unknown, op.ID)
		}
	}
	switch {
	case len(waiting) == 1:
		return waiting[0], nil
	case len(waiting) > 1:
		return "", term.UsageError("several operations of payment %s are in review: name one with --operation: %s", p.ID, strings.Join(waiting, ", "))
	case len(unknown) > 0:
		return "", term.NoSuch("payment %s is not in review yet: Tender is still asking the gateway; to end that, name the operation: --operation %s",
			p.ID, strings.Join(unknown, " or "))
	default:
		return "", term.NoSuch("payment %s is not in review: it is %s", p.ID, p.Status)
	}
}
