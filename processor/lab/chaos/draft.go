package chaos

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

// draft writes one script, and keeps books of its own on the way: what a payment with this card and
// these commands comes to. It shares no rule with the code under test.
type draft struct {
	*rand.Rand
	plan
	*script
	// keys is what the idempotency keys begin with.
	keys string
	now  end
	card card
	// cut is where the latest step ends if the event that follows it by itself does not come.
	cut end
	// frozen means that no further command is accepted: a dispute or a reversal has the money.
	frozen bool
}

// card is the meaning of a payment method for the books.
type card struct {
	method string
	// declined is the status in which a decline ends, "" for a card that is approved.
	declined messages.Status
	// then is an event that follows the success by itself.
	then messages.EventType
	// challenged asks for the customer. lapses gives the authorization seconds only. short moves
	// less than was asked for. refundFails sends refunds back. retried is declined softly.
	// over captures a tenth more than was asked for.
	challenged, lapses, short, refundFails, retried, over bool
}

const goodCard = "pm_card_visa"

// The parts of a draw: one case in so many.
const (
	oneInEight = 8
	oneInTen   = 10
	oneIn25    = 25
	oneIn20    = 20
)

// write writes the whole script.
func (d *draft) write() {
	d.impatient = d.IntN(oneInEight) == 0
	d.card = d.draw()
	d.differs = d.card.short || d.card.over
	d.create = &messages.Create{
		AmountMinor: 1000 + d.Int64N(100_000), Currency: []string{"EUR", "USD", "JPY"}[d.IntN(3)],
		PaymentMethod: d.card.method,
		CaptureMethod: []messages.CaptureMethod{
			messages.CaptureAutomatic, messages.CaptureManual, messages.CaptureManualMultiple,
		}[d.IntN(3)],
	}
	switch {
	case d.card.lapses:
		d.create.CaptureMethod = messages.CaptureManual
	case d.card.over:
		d.create.CaptureMethod = messages.CaptureManualMultiple
	case d.card.then != "":
		d.create.CaptureMethod = messages.CaptureAutomatic
	case d.card.retried:
		// A fixed time: the bodies of a seed are always the same.
		d.create.Retry = &messages.Retry{MaxAttempts: retryAttempts, Until: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	d.now.status = messages.StatusNone
	d.ends = [][]end{{d.now}}
	d.begin()
	for range d.IntN(6) {
		d.follow()
	}
	switch d.IntN(oneIn25) {
	case 0: // The same create as another payment: the first one stands.
		d.add(step{command: messages.CommandCreate, paymentID: newID(d.Rand), refusal: messages.RejectAlreadyProcessed}, "create", d.create)
	case 1: // The same key for something else.
		other := *d.create
		other.AmountMinor++
		d.add(step{command: messages.CommandCreate, paymentID: d.id, refusal: messages.RejectIdempotencyConflict}, "create", &other)
	case 2:
		d.bad()
	}
	if d.impatient {
		d.Shuffle(len(d.steps), func(i, j int) { d.steps[i], d.steps[j] = d.steps[j], d.steps[i] })
	}
}

// retryAttempts is the number of attempts that a producer allows after soft declines.
const retryAttempts = 3

// begin writes the create.
func (d *draft) begin() {
	s := step{command: messages.CommandCreate, paymentID: d.id}
	switch {
	case d.card.declined != "":
		d.now.status = d.card.declined
		if d.card.retried {
			d.now.attempts = retryAttempts
		}
	case d.card.challenged:
		d.now.status = messages.StatusRequiresAction
	default:
		d.approve(&s)
	}
	d.add(s, "create", d.create)
}

// approve books a successful authorization.
func (d *draft) approve(s *step) {
	amount := d.create.AmountMinor
	if d.card.short {
		amount--
	}
	d.now.authorized, d.now.status = amount, messages.StatusAuthorized
	if d.create.CaptureMethod == messages.CaptureAutomatic {
		d.now.captured, d.now.status = amount, messages.StatusCaptured
	}
	d.cut = d.now
	switch {
	case d.card.short:
		d.now.status, d.now.review, s.then = messages.StatusReview, messages.ReviewAmount, messages.EventPaymentReviewOpened
	case d.card.lapses:
		d.now.status, d.now.released, s.then = messages.StatusExpired, amount, messages.EventPaymentExpired
	case d.card.then == messages.EventDisputeOpened:
		d.now.disputed, s.then, d.frozen = amount, d.card.then, true
	case d.card.then == messages.EventPaymentCaptureReversed:
		d.now.captured, d.now.released, s.then, d.frozen = 0, amount, d.card.then, true
		d.now.status = messages.StatusFailed
	}
}

// follow writes one of the commands that may follow: most often one that fits.
func (d *draft) follow() {
	misfit := d.IntN(oneInTen) == 0
	switch {
	case d.now.status == messages.StatusReview:
		d.followReview(misfit)
	case misfit:
		d.misfit()
	case d.frozen || d.now.status == messages.StatusFailed || d.now.status == messages.StatusExpired || d.now.status == messages.StatusVoided:
	case d.now.status == messages.StatusRequiresAction:
		d.followAction()
	case d.now.status == messages.StatusRequiresPaymentMethod:
		d.followDecline()
	case d.now.uncaptured() > 0:
		d.followAuthorized()
	case d.now.captured > d.now.refunded:
		d.refund()
	default: // Nothing fits any more.
	}
}

func (d *draft) followReview(misfit bool) {
	if misfit || d.impatient {
		d.command(messages.CommandRefund, messages.RejectInvalidState, &messages.Refund{})
		return
	}
	if d.card.over {
		d.now.compensated, d.now.excess, d.now.review, d.frozen = d.now.excess, 0, "", true
		d.now.status = messages.StatusPartiallyCaptured
		d.steps = append(d.steps, step{command: messages.CommandCompensate, paymentID: d.id, reviewed: true})
		d.ends = append(d.ends, []end{d.now})
		return
	}
	d.now.review = ""
	d.now.status = messages.StatusAuthorized
	if d.now.captured > 0 {
		d.now.status = messages.StatusCaptured
	}
	d.steps = append(d.steps, step{command: messages.CommandResolve, paymentID: d.id, reviewed: true})
	d.ends = append(d.ends, []end{d.now})
}

func (d *draft) followAction() {
	if d.IntN(4) == 0 {
		d.void()
		return
	}
	s := step{command: messages.CommandConfirm, paymentID: d.id}
	d.approve(&s)
	d.add(s, d.key(), &messages.Confirm{})
}

// followDecline pays by another card.
func (d *draft) followDecline() {
	if d.card.retried {
		return // It may be tried again at any time.
	}
	if d.IntN(4) == 0 {
		d.now.status = messages.StatusVoided
		d.command(messages.CommandVoid, "", &messages.Void{})
		return
	}
	d.card = card{method: goodCard}
	s := step{command: messages.CommandConfirm, paymentID: d.id}
	d.approve(&s)
	d.add(s, d.key(), &messages.Confirm{PaymentMethod: goodCard})
}

func (d *draft) followAuthorized() {
	if d.card.over {
		d.overcapture()
		return
	}
	switch rest := d.now.uncaptured(); {
	case d.IntN(5) == 0:
		d.void()
	case d.now.captured > d.now.refunded && d.IntN(3) == 0:
		d.refund()
	case d.IntN(2) == 0 || rest < 3:
		d.now.captured += rest
		d.settled()
		d.command(messages.CommandCapture, "", &messages.Capture{})
	default:
		part := 1 + d.Int64N(rest-1)
		final := d.IntN(3) == 0
		d.now.captured += part
		if final || d.create.CaptureMethod == messages.CaptureManual {
			d.now.released += rest - part
		}
		d.settled()
		d.command(messages.CommandCapture, "", &messages.Capture{AmountMinor: &part, Final: final})
	}
}

// overcapture captures a part, of which the gateway takes a tenth too much.
func (d *draft) overcapture() {
	rest := d.now.uncaptured()
	part := 20 + d.Int64N(rest/2)
	s := step{command: messages.CommandCapture, paymentID: d.id, then: messages.EventPaymentReviewOpened}
	d.now.captured, d.now.excess = part, min(part/10, rest-part)
	d.now.status, d.now.review = messages.StatusReview, messages.ReviewAmount
	d.add(s, d.key(), &messages.Capture{AmountMinor: &part})
}

func (d *draft) void() {
	d.now.released += d.now.uncaptured()
	if d.now.captured == 0 {
		d.now.status = messages.StatusVoided
	} else {
		d.settled()
	}
	d.command(messages.CommandVoid, "", &messages.Void{})
}

func (d *draft) refund() {
	rest := d.now.captured - d.now.refunded
	part, body := rest, &messages.Refund{}
	if rest > 1 && d.IntN(3) > 0 {
		part = 1 + d.Int64N(rest-1)
		body.AmountMinor = &part
	}
	s := step{command: messages.CommandRefund, paymentID: d.id}
	before := d.now
	d.now.refunded += part
	d.settled()
	if d.card.refundFails {
		s.then, d.cut, d.now = messages.EventRefundFailed, d.now, before
	}
	d.add(s, d.key(), body)
}

// settled sets the status of money at rest.
func (d *draft) settled() {
	n := &d.now
	switch {
	case n.refunded > 0 && n.refunded == n.captured && n.uncaptured() == 0:
		n.status = messages.StatusRefunded
	case n.refunded > 0:
		n.status = messages.StatusPartiallyRefunded
	case n.uncaptured() > 0:
		n.status = messages.StatusPartiallyCaptured
	default:
		n.status = messages.StatusCaptured
	}
}

// misfit writes a command that the state does not allow, and must be refused for that.
func (d *draft) misfit() {
	n, more := &d.now, d.create.AmountMinor+1
	switch {
	case d.card.then == messages.EventDisputeOpened && n.captured > 0:
		d.command(messages.CommandRefund, messages.RejectNothingToRefund, &messages.Refund{})
	case d.IntN(3) == 0 && n.captured > n.refunded:
		d.command(messages.CommandRefund, messages.RejectAmountExceedsRefundable, &messages.Refund{AmountMinor: &more})
	case d.IntN(2) == 0 && n.uncaptured() > 0 && n.refunded == 0:
		d.command(messages.CommandCapture, messages.RejectAmountExceedsCapturable, &messages.Capture{AmountMinor: &more})
	case n.captured == 0:
		d.command(messages.CommandRefund, messages.RejectInvalidState, &messages.Refund{})
	case n.captured == n.refunded:
		d.command(messages.CommandRefund, messages.RejectNothingToRefund, &messages.Refund{})
	default:
		d.command(messages.CommandConfirm, messages.RejectInvalidState, &messages.Confirm{})
	}
}

func (d *draft) key() string { return strconv.Itoa(len(d.steps)) }

// command adds a step under a key of its own.
func (d *draft) command(name messages.CommandName, refusal messages.RejectionCode, body messages.CommandBody) {
	d.add(step{command: name, paymentID: d.id, refusal: refusal}, d.key(), body)
}

// add adds a step, and sometimes copies of it. The books are those after it.
func (d *draft) add(s step, key string, body messages.CommandBody) {
	s.planned = d.message(d.keys, key, s.paymentID, body)
	switch d.IntN(oneIn20) {
	case 0: // JetStream recognizes it by its message id
		s.copies = append(s.copies, planned{tenant: s.tenant, copied: true, msg: s.msg})
	case 1: // JetStream does not recognize it; Tender does, by its key
		s.copies = append(s.copies, s.underAnotherID())
	}
	d.steps = append(d.steps, s)
	ends := []end{d.now}
	if d.card.lapses && d.now.status == messages.StatusExpired {
		// An answer that comes after the lapse names a time in the past, which is no time.
		late := d.now
		late.status, late.released = messages.StatusAuthorized, 0
		ends = append(ends, late)
	}
	switch s.then {
	case messages.EventDisputeOpened, messages.EventPaymentCaptureReversed, messages.EventRefundFailed:
		d.cut.cut = true
		ends = append(ends, d.cut)
	default:
	}
	d.ends = append(d.ends, ends)
}

// bad adds an unreadable command. It is the only reason for a dead letter.
func (d *draft) bad() {
	key := d.id.String() + ":bad"
	msg := &nats.Msg{
		Subject: "payments.cmd." + d.tenant + ".create." + newID(d.Rand).String(),
		Header:  nats.Header{messages.HeaderMessageID: {"bad:" + key}, messages.HeaderIdempotencyKey: {key}},
		Data:    []byte(`{"amount_minor":1999,"currency":"EUR","payment_method":"pm_card_visa"}`),
	}
	switch d.IntN(6) {
	case 0:
		msg.Data = msg.Data[:20]
	case 1:
		msg.Data = []byte(`{"amount_minor":-1,"currency":"EUR","payment_method":"pm_card_visa"}`)
	case 2:
		msg.Data = []byte(`{"amount_minor":1999,"currency":"XYZ","payment_method":"pm_card_visa"}`)
	case 3:
		msg.Data = []byte(`{"amount_minor":1999,"currency":"EUR","payment_method":"4242424242424242"}`)
	case 4:
		msg.Subject = "payments.cmd." + d.tenant + ".transmogrify." + d.id.String()
	default:
		msg.Header = nats.Header{}
	}
	d.steps = append(d.steps, step{planned: planned{tenant: d.tenant, msg: msg}, paymentID: uuid.Nil})
	d.ends = append(d.ends, []end{d.now})
}

// draw is most often a good card, or else one with a fate, or with a fault of the simulator at any
// kind of operation.
func (d *draft) draw() card {
	faults := []string{
		"sim_charge_then_timeout", "sim_timeout_no_charge", "sim_reset_mid_response", "sim_500_after_charge",
		"sim_500_no_charge", "sim_429", "sim_slow_50", "sim_reset_mid_response_3", "sim_500_no_charge_4",
	}
	switch d.IntN(5) {
	case 0, 1:
		cards := d.cards()
		return cards[d.IntN(len(cards))]
	case 2:
		at := []string{"", "", "@capture", "@refund", "@void", "@confirm"}[d.IntN(6)]
		return card{method: faults[d.IntN(len(faults))] + at, challenged: at == "@confirm"}
	default:
		return card{method: goodCard}
	}
}

// cards are those with a fate. What only a notification tells is among them only if the gateways
// send notifications.
func (d *draft) cards() []card {
	cards := []card{
		{method: "pm_card_visa_chargeDeclined", declined: messages.StatusRequiresPaymentMethod},
		{method: "pm_card_visa_chargeDeclinedInsufficientFunds", declined: messages.StatusRequiresPaymentMethod, retried: d.IntN(2) == 0},
		{method: "pm_card_visa_chargeDeclinedLostCard", declined: messages.StatusFailed},
		{method: "pm_card_chargeDeclinedExpiredCard", declined: messages.StatusRequiresPaymentMethod},
		{method: "pm_card_chargeDeclinedProcessingError", declined: messages.StatusRequiresPaymentMethod},
		{method: "pm_card_authenticationRequired", challenged: true},
		{method: "pm_card_threeDSecure2Required", challenged: true},
		{method: "pm_card_refundFail", refundFails: true},
		{method: "sim_wrong_amount", short: true},
		{method: "sim_over_capture", over: true},
		{method: "sim_lapses_" + lapseMillis, lapses: true},
		{method: "pm_card_pendingRefund"},
		{method: "sim_async"},
	}
	if d.webhooks {
		cards = append(cards,
			card{method: "pm_card_createDispute", then: messages.EventDisputeOpened},
			card{method: "sim_webhook_first"}, card{method: "sim_webhook_duplicate"}, card{method: "sim_webhook_reordered"},
			card{method: "sim_capture_reversed", then: messages.EventPaymentCaptureReversed})
	}
	return cards
}

// lapseMillis is the life of an authorization that lapses, in milliseconds: longer than a slow
// answer, shorter than a run.
const lapseMillis = "2000"
