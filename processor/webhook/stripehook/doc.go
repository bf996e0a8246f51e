// Package stripehook reads Stripe's webhooks: a webhook.Decoder on the official client stripe-go.
//
// It owns the translation of Stripe's events to notifications. It must not trust anything that is
// not signed, must not publish, and lets no key and no body into its errors.
//
// Let Stripe send these events to /webhooks/<gateway>; others are passed over:
//
//	payment_intent.succeeded, .amount_capturable_updated   the authorization, or the capture that the PaymentIntent is marked with
//	payment_intent.payment_failed, .requires_action, .processing
//	payment_intent.canceled                                if Stripe did it, since the authorization lapsed
//	refund.created, .updated, .failed, charge.refund.updated
//	charge.dispute.created, .updated, .closed, .funds_withdrawn, .funds_reinstated
//
// # Whose event it is
//
// PaymentIntents and refunds carry the metadata that package stripegw sends along:
// tender_payment_id, tender_operation_id, tender_tenant, and tender_capture_<number> for
// captures. An object without it is not Tender's and is passed over. An event of another account
// than the configured one, such as a connected account's, is warned about. A dispute has no
// metadata of its own; its PaymentIntent is read from Stripe, for which a restricted key for
// reading PaymentIntents is enough.
//
// # Limits of an event
//
// A canceled PaymentIntent does not say who canceled it. Stripe answers a void to its caller, so
// the event is of use only when Stripe itself ended the authorization. A refund that fails does
// not say whether it had succeeded before: it becomes two notifications, one that it ended so,
// which counts while it is open, and a reversal, which counts when it had succeeded. An
// authorization that is learnt from its event has no capture_before: the configured lifetime
// stands in.
package stripehook
