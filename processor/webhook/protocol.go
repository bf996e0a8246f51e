package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Protocol reads the events of the open gateway protocol.
type Protocol struct {
	secrets []string
	maxAge  time.Duration
	now     func() time.Time
}

var _ Decoder = (*Protocol)(nil)

// NewProtocol returns a decoder. Several secrets are for the time in which one replaces another. A
// maxAge of 0 is MaxAgeDefault; a nil clock is time.Now.
func NewProtocol(secrets []string, maxAge time.Duration, now func() time.Time) (*Protocol, error) {
	if len(secrets) == 0 || slices.Contains(secrets, "") {
		return nil, errors.New("webhooks need a secret that is not empty")
	}
	if maxAge < 0 {
		return nil, fmt.Errorf("the age of a signature cannot be limited to %s", maxAge)
	}
	maxAge = cmp.Or(maxAge, MaxAgeDefault)
	if now == nil {
		now = time.Now
	}
	return &Protocol{secrets: slices.Clone(secrets), maxAge: maxAge, now: now}, nil
}

// Verify implements Decoder.
func (p *Protocol) Verify(header http.Header, body []byte) error {
	given := header.Values(protocol.HeaderSignature)
	if len(given) != 1 {
		return fmt.Errorf("%w: there are %d", protocol.ErrSignatureMalformed, len(given))
	}
	return protocol.Verify(given[0], body, p.secrets, p.now(), p.maxAge)
}

// Decode implements Decoder.
func (p *Protocol) Decode(_ context.Context, body []byte) ([]messages.Command, error) {
	e, err := protocol.DecodeEvent(body)
	if err != nil {
		return nil, err
	}
	n := &messages.Notify{
		EventID: e.ID, OccurredAt: e.OccurredAt, OperationID: e.OperationID, GatewayReference: e.GatewayReference,
		AmountMinor: e.AmountMinor, Reason: e.Reason,
	}
	if known := describe(n, e); !known {
		return nil, fmt.Errorf("%w: its type is %q", ErrUnplaced, protocol.Shown(string(e.Type)))
	}
	switch {
	case e.PaymentID == uuid.Nil:
		return nil, fmt.Errorf("event %q names no payment", protocol.Shown(e.ID))
	case n.Kind != messages.NotifyDispute && e.OperationID == "":
		return nil, fmt.Errorf("event %q names no operation", protocol.Shown(e.ID))
	case n.Outcome == messages.OutcomeDeclined && e.DeclineCode == "":
		return nil, fmt.Errorf("event %q declines without a code", protocol.Shown(e.ID))
	case n.Outcome == messages.OutcomeRequiresAction && n.NextActionType == "":
		return nil, fmt.Errorf("event %q requires an action that it does not name", protocol.Shown(e.ID))
	}
	return []messages.Command{{Tenant: e.Tenant, PaymentID: e.PaymentID, Body: n}}, nil
}

// describe fills in the fields that depend on the event's type. It returns false for a type that
// it does not know.
func describe(n *messages.Notify, e protocol.Event) bool {
	switch e.Type {
	case protocol.EventSucceeded, protocol.EventPending:
		n.Kind, n.Outcome, n.CaptureBefore = messages.NotifyOutcome, outcomeOf(e.Type), e.CaptureBefore
	case protocol.EventDeclined:
		d := gateway.ClassifyDecline(e.DeclineCode, e.NetworkDeclineCode, e.NetworkAdviceCode)
		n.Kind, n.Outcome, n.DeclineCode, n.DeclineClass = messages.NotifyOutcome, outcomeOf(e.Type), d.Code, d.Class
	case protocol.EventRequiresAction:
		n.Kind, n.Outcome = messages.NotifyOutcome, outcomeOf(e.Type)
		if e.NextAction != nil {
			n.NextActionType, n.NextActionURL = e.NextAction.Type, e.NextAction.URL
		}
	case protocol.EventReversed:
		n.Kind, n.DeclineCode = messages.NotifyReversal, e.DeclineCode
	case protocol.EventDisputeOpened, protocol.EventDisputeChallenged, protocol.EventDisputeAccepted, protocol.EventDisputeExpired,
		protocol.EventDisputeCanceled, protocol.EventDisputeWon, protocol.EventDisputeLost:
		n.Kind, n.DisputeID, n.RespondBefore = messages.NotifyDispute, e.DisputeID, e.RespondBefore
		n.DisputeStatus = strings.TrimPrefix(string(e.Type), "dispute.")
	default:
		return false
	}
	return true
}

// outcomeOf returns the outcome in the name of an event about an operation.
func outcomeOf(t protocol.EventType) messages.OutcomeKind {
	return messages.OutcomeKind(strings.TrimPrefix(string(t), "operation."))
}
