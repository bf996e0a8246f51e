package stripegw

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stripe/stripe-go/v85"
)

const (
	// keyLife is the time for which Stripe is taken to know a key. It keeps keys for at least 24
	// hours; the rest is for clocks that differ.
	keyLife = 20 * time.Hour
	// clocksApart is the most by which the clock that named a payment may differ from Stripe's, for
	// a lookup to find what the payment's id does not bound.
	clocksApart = 5 * time.Minute
	// listedBack is how far back PaymentIntents are listed for a payment whose id holds no time:
	// longer than an operation is looked up.
	listedBack = 72 * time.Hour
	// intentsMax is the limit on the PaymentIntents that one lookup goes through.
	intentsMax = 10_000
)

// named returns the time that the payment's id holds (UUID version 7, RFC 9562); false if it holds
// none. No operation of the payment is older.
func (r *request) named() (time.Time, bool) {
	if r.op.PaymentID.Version() != 7 {
		return time.Time{}, false
	}
	return time.Unix(r.op.PaymentID.Time().UnixTime()), true
}

// keyLives reports whether Stripe must still know the operation's key, if it ever got it: then to
// send the operation again brings the first answer.
func (r *request) keyLives() bool {
	named, known := r.named()
	age := r.config.Now().Sub(named)
	return known && age > -clocksApart && age < keyLife
}

// span is a time in which PaymentIntents were made, in seconds; both ends are included.
type span struct{ from, to int64 }

// spans returns the times in which the operation may have made its PaymentIntent, the likeliest
// first: nearly always it does so within moments of the payment's naming.
func (r *request) spans(now time.Time) []span {
	named, known := r.named()
	if !known || named.After(now.Add(clocksApart)) {
		return []span{{now.Add(-listedBack).Unix(), now.Add(clocksApart).Unix()}}
	}
	near, far := named.Add(-10*time.Second).Unix(), named.Add(time.Minute).Unix()
	return []span{{near, far}, {named.Add(-clocksApart).Unix(), near - 1}, {far + 1, max(now.Add(clocksApart).Unix(), far+1)}}
}

// list returns the id of the PaymentIntent that the operation made, "" if there is none now. It
// goes through what was made at the time, and matches the metadata. Stripe's search is not used: it
// lags, and is not offered everywhere.
func (r *request) list(ctx context.Context) (string, error) {
	seen := 0
	for _, s := range r.spans(r.config.Now()) {
		id, err := r.listSpan(ctx, s, &seen)
		if id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}

func (r *request) listSpan(ctx context.Context, s span, seen *int) (string, error) {
	params := &stripe.PaymentIntentListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: s.from, LesserThanOrEqual: s.to}}
	params.Limit = stripe.Int64(100)
	found := ""
	for pi, err := range r.client.V1PaymentIntents.List(ctx, params).All(ctx) {
		if err != nil {
			return "", fmt.Errorf("list PaymentIntents: %w", err)
		}
		if *seen++; *seen > intentsMax {
			return "", errTooMany
		}
		switch {
		case pi.Metadata[MetadataOperation] != r.op.ID, pi.Metadata[MetadataTenant] != r.op.Tenant:
		case pi.ID == "":
			return "", errNameless
		case found != "":
			return "", errTwice
		default:
			found = pi.ID
		}
	}
	return found, nil
}

// errNameless says that a list holds something without an id.
var errNameless = errors.New("the list holds a PaymentIntent without an id")

// errTooMany says that the PaymentIntent was not among those that a lookup goes through.
var errTooMany = fmt.Errorf("it is not among %d PaymentIntents of the time", intentsMax)
