package stripehook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

// dispute holds the used fields of a stripe.Dispute.
type dispute struct {
	ID              string               `json:"id"`
	Amount          int64                `json:"amount"`
	Currency        string               `json:"currency"`
	Reason          string               `json:"reason"`
	Status          stripe.DisputeStatus `json:"status"`
	PaymentIntent   reference            `json:"payment_intent"`
	EvidenceDetails struct {
		DueBy int64 `json:"due_by"`
	} `json:"evidence_details"`
}

// reference is another object: its id, or the object itself where the account has it expanded.
type reference struct{ ID string }

// UnmarshalJSON implements json.Unmarshaler.
func (r *reference) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &r.ID) == nil {
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("decode reference: %w", err)
	}
	r.ID = object.ID
	return nil
}

// dispute translates an event about a dispute.
func (d *Decoder) dispute(ctx context.Context, e event) ([]messages.Command, error) {
	var about dispute
	if err := e.read(&about); err != nil {
		return nil, err
	}
	if about.PaymentIntent.ID == "" {
		return nil, nil // A charge without a PaymentIntent is not Tender's.
	}
	if d.intents == nil {
		return nil, errors.New("a dispute needs the API key to tell whose it is")
	}
	metadata, err := d.intents.metadata(ctx, about.PaymentIntent.ID)
	if err != nil {
		return nil, err
	}
	o, ours, err := ownerOf(metadata)
	if err != nil || !ours {
		return nil, err
	}
	n := e.notify(messages.NotifyDispute)
	n.DisputeID, n.GatewayReference, n.Reason = about.ID, about.PaymentIntent.ID, about.Reason
	if due := about.EvidenceDetails.DueBy; due > 0 {
		n.RespondBefore = time.Unix(due, 0).UTC()
	}
	if n.AmountMinor, err = minor(about.Amount, about.Currency); err != nil {
		return nil, err
	}
	if n.DisputeStatus, err = disputeStatus(about.Status); err != nil {
		return nil, err
	}
	return []messages.Command{o.command(n)}, nil
}

// disputeStatus is Stripe's status in Tender's words. An inquiry that was closed, and one that was
// settled before it became a dispute, have been canceled.
func disputeStatus(s stripe.DisputeStatus) (string, error) {
	switch s {
	case stripe.DisputeStatusNeedsResponse, stripe.DisputeStatusWarningNeedsResponse:
		return "opened", nil
	case stripe.DisputeStatusUnderReview, stripe.DisputeStatusWarningUnderReview:
		return "challenged", nil
	case stripe.DisputeStatusWarningClosed, stripe.DisputeStatusPrevented:
		return "canceled", nil
	case stripe.DisputeStatusWon:
		return "won", nil
	case stripe.DisputeStatusLost:
		return "lost", nil
	default:
		return "", fmt.Errorf("the dispute is %q", s)
	}
}

// intents reads PaymentIntents from Stripe.
type intents struct {
	client    *stripe.Client
	transport *http.Transport
	account   string
}

func newIntents(c Config) *intents {
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 5 * time.Second}
	config := &stripe.BackendConfig{
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MaxNetworkRetries: stripe.Int64(0), // Stripe sends the event again.
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	}
	if c.URL != "" {
		config.URL = stripe.String(c.URL)
	}
	backends := &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, config)}
	return &intents{client: stripe.NewClient(c.APIKey, stripe.WithBackends(backends)), transport: transport, account: c.Account}
}

// metadata reads that of a PaymentIntent, nil if there is no such. A failure to read it may be
// over when the event is sent again.
func (i *intents) metadata(ctx context.Context, id string) (map[string]string, error) {
	params := &stripe.PaymentIntentRetrieveParams{}
	if i.account != "" {
		params.SetStripeAccount(i.account)
	}
	pi, err := i.client.V1PaymentIntents.Retrieve(ctx, id, params)
	var refused *stripe.Error
	switch {
	case errors.As(err, &refused) && refused.HTTPStatusCode == http.StatusNotFound:
		return nil, nil
	case errors.As(err, &refused):
		// Its text may quote the key.
		return nil, fmt.Errorf("%w: Stripe answered %d", webhook.ErrUnavailable, refused.HTTPStatusCode)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", webhook.ErrUnavailable, err)
	case pi.ID != id:
		return nil, fmt.Errorf("%w: Stripe answered about another PaymentIntent", webhook.ErrUnavailable)
	}
	return pi.Metadata, nil
}
