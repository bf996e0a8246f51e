package stripehook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v85"
	stripewebhook "github.com/stripe/stripe-go/v85/webhook"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

// headerSignature is the header with Stripe's signature.
const headerSignature = "Stripe-Signature"

// Config names the account whose events are taken, and its secrets.
type Config struct {
	// Secrets are the endpoint's signing secrets, "whsec_…". One at least must be set; two while
	// one replaces the other.
	Secrets []string
	// MaxAge is the greatest age of a signature; 0 is webhook.MaxAgeDefault.
	MaxAge time.Duration
	// APIKey reads the PaymentIntents of disputes. Without it the payment of a dispute cannot be
	// found.
	APIKey string
	// Account is the connected account whose events are taken; "" takes the key's own only.
	// Events of other accounts are webhook.ErrForeign: each connected account needs a gateway of
	// its own.
	Account string
	// URL is the base address of the API; "" is Stripe's own.
	URL string
}

// Decoder implements webhook.Decoder. It may be used concurrently.
type Decoder struct {
	config Config
	// intents is nil without a key.
	intents *intents
}

var _ webhook.Decoder = (*Decoder)(nil)

// New returns a decoder. It connects to nothing yet. Close it when it is no longer used.
func New(c Config) (*Decoder, error) {
	if len(c.Secrets) == 0 || slices.Contains(c.Secrets, "") {
		return nil, errors.New("webhooks of Stripe need a secret that is not empty")
	}
	if c.MaxAge < 0 {
		return nil, fmt.Errorf("the age of a signature cannot be limited to %s", c.MaxAge)
	}
	c.MaxAge = cmp.Or(c.MaxAge, webhook.MaxAgeDefault)
	d := &Decoder{config: c}
	if c.APIKey != "" {
		d.intents = newIntents(c)
	}
	return d, nil
}

// Close lets go of idle connections to Stripe.
func (d *Decoder) Close() {
	if d.intents != nil {
		d.intents.transport.CloseIdleConnections()
	}
}

// Verify implements webhook.Decoder.
func (d *Decoder) Verify(header http.Header, body []byte) error {
	given := header.Values(headerSignature)
	if len(given) != 1 {
		return fmt.Errorf("%w: there are %d", stripewebhook.ErrNotSigned, len(given))
	}
	var err error
	for _, secret := range d.config.Secrets {
		if err = stripewebhook.ValidatePayloadWithTolerance(body, given[0], secret, d.config.MaxAge); err == nil {
			return nil
		}
	}
	return err
}

// event holds the used fields of a stripe.Event. The objects are read field by field, so that an
// account with another version of the API than stripe-go's is understood as well: the fields that
// are used here are in all of them.
type event struct {
	ID      string           `json:"id"`
	Object  string           `json:"object"`
	Account string           `json:"account"`
	Type    stripe.EventType `json:"type"`
	Created int64            `json:"created"`
	Data    struct {
		Object json.RawMessage `json:"object"`
	} `json:"data"`
}

// Decode implements webhook.Decoder.
func (d *Decoder) Decode(ctx context.Context, body []byte) ([]messages.Command, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	switch {
	case e.Object != "event" || e.ID == "":
		return nil, fmt.Errorf("%w: the body is not an event of Stripe's", webhook.ErrUnplaced)
	case e.Account != d.config.Account:
		return nil, fmt.Errorf("%w: event %s is about %s, not %s", webhook.ErrForeign, e.Type, accountName(e.Account), accountName(d.config.Account))
	}
	switch e.Type {
	case stripe.EventTypePaymentIntentSucceeded, stripe.EventTypePaymentIntentAmountCapturableUpdated,
		stripe.EventTypePaymentIntentPaymentFailed, stripe.EventTypePaymentIntentRequiresAction,
		stripe.EventTypePaymentIntentProcessing, stripe.EventTypePaymentIntentCanceled:
		return e.intent()
	case stripe.EventTypeRefundCreated, stripe.EventTypeRefundUpdated, stripe.EventTypeRefundFailed, stripe.EventTypeChargeRefundUpdated:
		return e.refund()
	case stripe.EventTypeChargeDisputeCreated, stripe.EventTypeChargeDisputeUpdated, stripe.EventTypeChargeDisputeClosed,
		stripe.EventTypeChargeDisputeFundsWithdrawn, stripe.EventTypeChargeDisputeFundsReinstated:
		return d.dispute(ctx, e)
	default:
		return nil, nil
	}
}

// accountName names an account to a person; "" is the one that the endpoint belongs to.
func accountName(account string) string {
	if account == "" {
		return "the endpoint's own account"
	}
	return "the connected account " + account
}

// read reads the object that the event is about.
func (e event) read(object any) error {
	if err := json.Unmarshal(e.Data.Object, object); err != nil {
		return fmt.Errorf("decode object of event %s: %w", e.Type, err)
	}
	return nil
}

// notify begins a notification.
func (e event) notify(kind messages.NotifyKind) *messages.Notify {
	return &messages.Notify{EventID: e.ID, Kind: kind, OccurredAt: time.Unix(e.Created, 0).UTC()}
}

// owner is the tenant, payment and operation of an object.
type owner struct {
	tenant      string
	paymentID   uuid.UUID
	operationID string
}

// ownerOf reads the metadata. It returns false for an object that is not Tender's.
func ownerOf(metadata map[string]string) (owner, bool, error) {
	if metadata[stripegw.MetadataPayment] == "" {
		return owner{}, false, nil
	}
	id, err := messages.ParsePaymentID(metadata[stripegw.MetadataPayment])
	if err != nil {
		return owner{}, false, err
	}
	o := owner{tenant: metadata[stripegw.MetadataTenant], paymentID: id, operationID: metadata[stripegw.MetadataOperation]}
	if !strings.HasPrefix(o.operationID, id.String()+"-") {
		return owner{}, false, errors.New("the operation in the metadata is not one of the payment's")
	}
	return o, true, nil
}

func (o owner) command(n *messages.Notify) messages.Command {
	return messages.Command{Tenant: o.tenant, PaymentID: o.paymentID, Body: n}
}
