// Package protocol is Tender's open gateway protocol: JSON over HTTP/1.1 or over NATS, small
// enough to put in front of anything that moves money. It owns the messages on the wire and the
// proof that each of them is. Over HTTP, package httpgw is its client and package lab/simulator a
// server, and [OpenAPI] describes it for other languages; over NATS, package natsgw is its client
// and package connector a server. It opens no connection and keeps nothing.
//
// # Requests
//
//	POST /v1/operations                                  make a messages.Operation, the body
//	GET  /v1/operations/{operation_id}?tenant={tenant}   its outcome
//	GET  /healthz                                        200 when the server works
//
// A server may ask for "Authorization: Bearer <key>" on everything but /healthz.
//
// # Idempotency
//
// The tenant and the operation_id are the idempotency key ([Key]). A server does an operation at
// most once, keeps its answer for as long as its ledger, and answers every later request with the
// same key and the same parameters with that answer. All fields are parameters except attempt,
// which counts the client's attempts, and gateway, which is the client's name for the server. A
// server looks the key up before it checks anything but the credentials, so that a refusal never
// hides an earlier success.
//
// One server may serve several tenants. The same operation_id of another tenant is another
// operation, and no tenant finds or uses another's authorization. A lookup names the tenant, too.
//
// # Answers
//
// An [Answer] names the operation it is about; one that names another operation is no answer.
//
//	200  succeeded, requires_action
//	202  pending: accepted, and finished later; look it up
//	402  declined: refused for good under this operation_id
//
// Every success of an authorize, confirm, capture or refund carries amount_minor, that which was
// moved; the success of a void may leave it out. A client takes a success without an amount for
// unproven. The answer to a lookup of an authorize or confirm may carry the state of the
// authorization, amount_captured_minor and amount_released_minor; one that was voided or has passed
// capture_before has released all that was not captured.
//
// The decline codes authorization_voided and authorization_expired prove that the authorization
// holds nothing any more. A void that is declined with any other code leaves a question: the client
// looks the authorization up.
//
// Anything else carries a [Problem] with a code:
//
//	400  invalid_request       the request cannot be understood, lacks a required field, has one
//	                           twice, or names a thing that does not exist. Nothing was done,
//	                           nothing is recorded under the key: a decline that is never retried
//	401  unauthorized          turned away by the credentials, before anything was looked at: not sent
//	404  operation_not_found   to a lookup only: nothing is known of the operation now
//	409  in_progress           the same operation is being worked on: unknown, replay it
//	422  idempotency_conflict  the operation_id was used with other parameters: unknown, and replaying does not help;
//	                           a lookup tells the effect that the key has had
//	429  rate_limited          too many requests; Retry-After says how many seconds to wait. Unknown: the client cannot
//	                           tell whether the limit stood before the server or behind it
//	500  internal              the server failed and does not know how far it got: unknown
//	503  unavailable           as 500
//	424  not_done              the server has proof that it did nothing for this request and will do nothing because of it: its own
//	                           provider could not be connected to, the request's deadline had passed, no place was free. Not
//	                           sent. It says nothing of earlier requests for the operation
//
// A problem with Retry-After may say in rest what is to be left alone: operation, gateway or
// credentials. Where it does not, in_progress and not_done mean the operation, rate_limited,
// internal and unavailable the gateway, and unauthorized the credentials.
//
// Every other status, every redirect, and a body that does not fit its status are unknown: the
// answer did not come from a server of the protocol.
//
// # Deadline
//
// A request may say in the header Tender-Deadline, in RFC 3339, how long the client waits. A
// server that takes a request up later than that should answer not_done instead of doing it. That
// is a safeguard where requests can be held up on their way, as in NATS; it is only as good as the
// clocks agree, and the idempotency key holds without it.
//
// # Webhooks
//
// A server may tell of its own accord of outcomes, of reversals, and of disputes: it POSTs an
// [Event] to <base>/webhooks/<gateway>, and again, with growing pauses and for as long as it can,
// until the answer is 200 to 299. An event is sent again under the same event_id, by which the
// receiver knows it. Order does not matter, and an event may come before the answer to the
// operation that it is about.
//
//	operation.succeeded, .declined, .requires_action, .pending   as an [Answer] with that outcome
//	operation.reversed                                           a success is taken back, wholly or by amount_minor
//	dispute.opened, .challenged, .accepted, .expired, .canceled, .won, .lost
//
// The tenant, the payment_id and the operation_id are those that came with the operation. The
// header Tender-Signature holds "t=<unix seconds>,v1=<hex>", where v1 is HMAC-SHA256 over "<unix
// seconds>.<body>" with a secret that both sides keep, over the body as it is sent ([Sign]); each
// try is signed anew, since the receiver refuses a signature that is some minutes old. While a
// secret is being replaced, the header may have one v1 for each.
//
// The receiver answers 400 to an event that it does not trust or cannot read, 413 to more than 256
// KiB, and 503 when it cannot store the event now.
//
// An operation.succeeded carries amount_minor as an answer does.
//
// # Over NATS
//
// A server, called a connector, answers requests on payments.gateway.<gateway>.<endpoint>, where
// the endpoint is a kind of operation or lookup ([Subject]). Every body is a messages.Operation,
// that of a lookup too, which needs the operation_id and the tenant. A connector refuses a body
// that lacks a required field, as a server over HTTP does. The reply's body is an [Answer] or a
// [Problem] as over HTTP; the statuses above are left out, since the body says it. A problem
// also comes with the headers that NATS services give errors, and Retry-After is a header of the
// reply. All instances of a connector listen in one queue group ([ServiceName]), so that one of
// them gets a request.
package protocol
