// Package sim is a payment gateway that moves no money: it answers as a real one does, fails in the
// ways in which real ones fail, and keeps a ledger of its effects, so that a test, a demo or an
// operator can compare them with the history that Tender has.
//
// It owns the ledger, in memory, and the faults. It knows nothing of Tender beyond the open gateway
// protocol (package protocol). A [Simulator] is a gateway.Gateway for use in the same process.
// Package lab/simulator adds an HTTP server, a journal on disk and webhooks, as an [Observer]; both
// ways go through the same code and prove the same to the caller.
//
// It guarantees the behaviour of a good gateway. An operation takes effect at most once, however
// often it is requested, also concurrently. A payment is never captured above its authorization,
// refunded above its captures, or voided above the rest. An effect is in the ledger, and its
// record with the observer, before it is answered.
//
// # Payment methods
//
// Any other payment method is refused with invalid_request, so that a typing error shows.
//
//	pm_card_visa, pm_card_mastercard               approved
//	pm_card_createDispute                          approved; a capture is disputed a moment later
//	pm_card_visa_chargeDeclined                    generic_decline
//	pm_card_visa_chargeDeclinedInsufficientFunds   insufficient_funds
//	pm_card_visa_chargeDeclinedLostCard            lost_card
//	pm_card_visa_chargeDeclinedStolenCard          stolen_card
//	pm_card_chargeDeclinedExpiredCard              expired_card
//	pm_card_chargeDeclinedIncorrectCvc             incorrect_cvc
//	pm_card_chargeDeclinedProcessingError          processing_error
//	pm_card_authenticationRequired                 requires_action; a confirm succeeds
//	pm_card_threeDSecure2Required                  requires_action; a confirm succeeds
//	pm_card_pendingRefund                          approved; a refund is pending until it was looked up a few times, or
//	                                               a moment later if there is a webhook
//	pm_card_refundFail                             approved; a refund succeeds and fails a moment later, or is declined with
//	                                               refund_failed if there is no webhook to tell that
//
// # Faults
//
// A fault is a payment method that is approved apart from the fault in its name:
//
//	sim_charge_then_timeout   does it, then holds the answer back longer than the client waits
//	sim_timeout_no_charge     holds the request back and drops it
//	sim_reset_mid_response    does it, then resets the connection in the middle of the answer
//	sim_500_after_charge      does it, then answers 500
//	sim_500_no_charge         answers 500 and does nothing
//	sim_429                   answers 429 with Retry-After and does nothing
//	sim_slow_<ms>             takes that long, every time, and does it even if the client has gone away
//	sim_wrong_amount          moves one minor unit less than asked and says so, every time
//	sim_over_capture          captures up to a tenth more than asked, and says so
//	sim_dial_error            cannot be connected to
//	sim_webhook_first         does it, and answers only after the webhook has told
//	sim_webhook_duplicate     tells twice, every time
//	sim_webhook_reordered     tells of the success, and after that of the time before, when it was pending, every time
//	sim_capture_reversed      takes every capture back a moment later
//	sim_async                 every operation is pending until it was looked up a few times, or
//	                          a moment later if there is a webhook; only then is it decided and done
//	sim_lapses_<ms>           the authorization can be captured for that long only
//
// Unless the list says "every time", a fault befalls the first request for an operation only; a
// replay is answered properly. "_<n>" behind the name makes it the first n requests, as in
// sim_500_no_charge_3. "@<kind>" behind that puts the fault on another kind of operation of the
// payment than authorize, as in sim_charge_then_timeout@capture or sim_429_2@refund; a fault on
// confirm makes the authorization require the action first. Lookups are never befallen.
//
// A server cannot refuse its own connections to one operation. Over HTTP the client's side shows
// sim_dial_error: put [NewDialErrors] around the client. Without it the payment method is approved.
// The faults of webhooks, and the effects that come a moment later, need an Observer with Tell;
// without one these payment methods are approved.
package sim
