package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func newReview(c *cli) *cobra.Command {
	review := &cobra.Command{
		Use:   "review",
		Short: "List what needs a person, and record what that person found out",
		Long: `An operation comes to review when its gateway could not be brought to say what became of it, answered with another amount than it
was asked for, or later said the opposite of what is recorded. Its money stays reserved, and nothing goes on by itself:
somebody has to find out what happened, at the provider or in its settlement files, and say so with tender review resolve.`,
		Example: `  tender review ls
  tender review resolve 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --outcome succeeded --actor jane@example.com \
      --reason "in the settlement file of 3 March" --wait`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	review.AddCommand(newReviewList(c), newReviewResolve(c))
	return review
}

// reviewFlags select what is listed.
type reviewFlags struct {
	tenant, gateway string
	limit           int
}

func newReviewList(c *cli) *cobra.Command {
	var f reviewFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List operations in review, those that have waited longest first",
		Long: `Ls shows every operation that needs a person, with since when and why, and what to look for at the gateway: when it was first SENT,
and the gateway's REFERENCE.

  outcome_unknown   the gateway could not be brought to say whether it did it
  amount_mismatch   the gateway says another amount than it was asked for
  contradiction     the gateway later said the opposite of what is recorded (RECORDED)
  reversal          more was reversed than could be taken back`,
		Example: `  tender review ls
  tender review ls --gateway primary --json | jq -r .operation_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withStore(cmd.Context(), func(s *store.Store) error { return c.listReviews(cmd.Context(), s, f) })
		},
	}
	bindTenantFilter(cmd, &f.tenant)
	cmd.Flags().StringVar(&f.gateway, "gateway", "", "only operations at this `gateway`")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most so many (default: all)")
	return cmd
}

// reviewView shows one operation in review.
type reviewView struct {
	PaymentID   uuid.UUID              `json:"payment_id"`
	OperationID string                 `json:"operation_id"`
	Tenant      string                 `json:"tenant"`
	Kind        messages.OperationKind `json:"kind"`
	// Recorded is how the operation stands: manual_review, or the outcome that was contradicted.
	Recorded          payment.OperationStatus `json:"recorded"`
	AmountMinor       int64                   `json:"amount_minor"`
	Currency          string                  `json:"currency"`
	Gateway           string                  `json:"gateway"`
	GatewayReference  string                  `json:"gateway_reference,omitempty"`
	MerchantReference string                  `json:"merchant_reference,omitempty"`
	// SentAt is when it was first sent to the gateway, CallsMade how often: where to look in the gateway's own records.
	SentAt    time.Time `json:"sent_at,omitzero"`
	CallsMade int       `json:"calls,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
}

func (c *cli) listReviews(ctx context.Context, s *store.Store, f reviewFlags) error {
	reviews, err := findReviews(ctx, s, f)
	if err != nil {
		return err
	}
	if more := len(reviews) - f.limit; f.limit > 0 && more > 0 {
		reviews = reviews[:f.limit]
		c.remark("there are %d more", more)
	}
	if c.json {
		for _, r := range reviews {
			if err := c.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(c.stdout, "SINCE", "PAYMENT", "OPERATION", "TENANT", "KIND", "AMOUNT", "GATEWAY", "RECORDED", "REASON", "SENT",
		"REFERENCE", "DETAIL")
	for _, r := range reviews {
		t.row(moment(r.Since), r.PaymentID.String(), r.OperationID, r.Tenant, string(r.Kind), someAmount(r.AmountMinor, r.Currency),
			r.Gateway, string(r.Recorded), r.Reason, moment(r.SentAt), r.GatewayReference, r.Detail)
	}
	return t.flush()
}

// findReviews reads every payment in review: they are few, or there is more to worry about than how long this takes.
func findReviews(ctx context.Context, s *store.Store, f reviewFlags) ([]reviewView, error) {
	const pageSize = 1000
	var reviews []reviewView
	page := store.Page{Limit: pageSize}
	for {
		listed, err := s.List(ctx, store.ListFilter{Tenant: f.tenant, Status: messages.StatusReview}, page)
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
			reviews = append(reviews, reviewsOf(p, opened[p.ID], f.gateway)...)
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

// reviewsOf lists the operations of one payment that need a person. Why and since when say the events that opened its reviews.
func reviewsOf(p *payment.Payment, events []messages.Event, gateway string) []reviewView {
	var reviews []reviewView
	for i := range p.Operations {
		if op := &p.Operations[i]; needsPerson(op) && (gateway == "" || op.Gateway == gateway) {
			reviews = append(reviews, reviewView{
				PaymentID: p.ID, OperationID: op.ID, Tenant: p.Tenant, Kind: op.Kind, Recorded: op.Status,
				AmountMinor: op.AmountMinor, Currency: p.Currency, Gateway: op.Gateway,
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

// needsPerson reports whether nothing but a person's word brings the operation on.
func needsPerson(op *payment.Operation) bool {
	return op.Status == payment.OperationManualReview || op.Contradicted
}
