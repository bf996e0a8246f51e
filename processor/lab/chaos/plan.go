package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

// groupSize is the number of payments with mixed commands. Commands of one payment stay near each
// other, so that a capture may overtake its create and refunds may collide.
const groupSize = 16

// plan is a list of commands. Its fields alone determine it, group by group, so any part can be
// made again.
type plan struct {
	seed     uint64
	tenants  []string
	payments int // 0 is without end
	webhooks bool
}

// planned is one message of the plan.
type planned struct {
	tenant string
	// copied means that it repeats an earlier message.
	copied bool
	msg    *nats.Msg
}

// draft collects the commands for one payment.
type draft struct {
	*rand.Rand
	plan
	tenant string
	id     uuid.UUID
	made   []planned
}

// group makes the commands of one group of payments, in the order in which they are sent; none when
// the plan is at its end.
func (p plan) group(n int) []planned {
	random := rand.New(rand.NewPCG(p.seed, uint64(n)+1)) //nolint:gosec // G404: it has to be repeatable
	var all []planned
	for i := n * groupSize; i < (n+1)*groupSize && (p.payments == 0 || i < p.payments); i++ {
		all = append(all, p.payment(random)...)
	}
	for i := range all {
		j := min(len(all)-1, i+random.IntN(12))
		all[i], all[j] = all[j], all[i]
	}
	for _, c := range all {
		switch random.IntN(20) {
		case 0: // JetStream recognizes it by its message id
			c.copied = true
			all = append(all, c)
		case 1: // JetStream does not recognize it; Tender does, by its key
			all = append(all, c.underAnotherID())
		}
	}
	return all
}

// underAnotherID is the same command in another message.
func (c planned) underAnotherID() planned {
	header := nats.Header{}
	for name, values := range c.msg.Header {
		header[name] = values
	}
	if header.Get(messages.HeaderMessageID) != "" && header.Get(messages.HeaderIdempotencyKey) != "" {
		header.Set(messages.HeaderMessageID, header.Get(messages.HeaderMessageID)+":again")
	}
	return planned{tenant: c.tenant, copied: true, msg: &nats.Msg{Subject: c.msg.Subject, Header: header, Data: c.msg.Data}}
}

func (p plan) payment(random *rand.Rand) []planned {
	d := &draft{Rand: random, plan: p, tenant: p.tenants[random.IntN(len(p.tenants))], id: newID(random)}
	create := &messages.Create{
		AmountMinor: 1000 + d.Int64N(100_000), Currency: []string{"EUR", "USD", "JPY"}[d.IntN(3)],
		PaymentMethod: d.paymentMethod(),
		CaptureMethod: []messages.CaptureMethod{
			messages.CaptureAutomatic, messages.CaptureManual, messages.CaptureManualMultiple,
		}[d.IntN(3)],
	}
	d.command("create", d.id, create)
	for range d.IntN(6) {
		d.follow(create)
	}
	switch d.IntN(25) {
	case 0: // The same create as another payment: the first one stands.
		d.command("create", newID(random), create)
	case 1: // The same key for something else.
		other := *create
		other.AmountMinor++
		d.command("create", d.id, &other)
	case 2:
		d.bad()
	}
	return d.made
}

// follow adds one of the commands that may follow a create: most often one that fits, since a
// refusal moves no money.
func (d *draft) follow(create *messages.Create) {
	part := 1 + d.Int64N(create.AmountMinor/2)
	key := strconv.Itoa(len(d.made))
	captured := create.CaptureMethod == messages.CaptureAutomatic || len(d.made) > 1
	switch n := d.IntN(12); {
	case n == 0:
		d.command(key, d.id, &messages.Confirm{})
	case n == 1:
		d.command(key, d.id, &messages.Void{})
	case captured && n < 9:
		d.command(key, d.id, &messages.Refund{AmountMinor: &part})
	case n%2 == 0:
		d.command(key, d.id, &messages.Capture{AmountMinor: &part, Final: d.IntN(3) == 0})
	default:
		d.command(key, d.id, &messages.Capture{})
	}
}

// command adds a command under a key that is the payment's own.
func (d *draft) command(key string, paymentID uuid.UUID, body messages.CommandBody) {
	key = d.id.String() + ":" + key
	command := messages.Command{
		ID: key + ":" + strconv.Itoa(len(d.made)), Tenant: d.tenant, PaymentID: paymentID, IdempotencyKey: key, Body: body,
	}
	subject, header, data, err := messages.EncodeCommand(command, messages.Origin{Source: "tender-chaos"})
	if err != nil {
		panic("chaos: planned a command that cannot be encoded: " + err.Error())
	}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: data}
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	d.made = append(d.made, planned{tenant: d.tenant, msg: msg})
}

// bad adds an unreadable command.
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
	d.made = append(d.made, planned{tenant: d.tenant, msg: msg})
}

// paymentMethod is most often a good card, or else any fault of the simulator, at any kind of
// operation.
func (d *draft) paymentMethod() string {
	cards := []string{
		"pm_card_visa_chargeDeclined", "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_visa_chargeDeclinedLostCard",
		"pm_card_chargeDeclinedExpiredCard", "pm_card_chargeDeclinedProcessingError", "pm_card_authenticationRequired",
		"pm_card_threeDSecure2Required", "pm_card_pendingRefund", "pm_card_refundFail", "sim_wrong_amount",
	}
	if d.webhooks {
		cards = append(cards, "pm_card_createDispute", "sim_webhook_first", "sim_webhook_duplicate", "sim_webhook_reordered",
			"sim_capture_reversed")
	}
	faults := []string{
		"sim_charge_then_timeout", "sim_timeout_no_charge", "sim_reset_mid_response", "sim_500_after_charge",
		"sim_500_no_charge", "sim_429", "sim_slow_50", "sim_reset_mid_response_3", "sim_500_no_charge_4",
	}
	switch d.IntN(5) {
	case 0:
		return cards[d.IntN(len(cards))]
	case 1, 2:
		at := []string{"", "", "@capture", "@refund", "@void", "@confirm"}[d.IntN(6)]
		return faults[d.IntN(len(faults))] + at
	default:
		return "pm_card_visa"
	}
}

// newID returns a UUID determined by the seed.
func newID(random *rand.Rand) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], random.Uint64())
	binary.BigEndian.PutUint64(u[8:], random.Uint64())
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80 // version 8: custom
	return u
}

// describe returns the values that Tender reads from a message.
func (c planned) describe(number int) Sent {
	s := Sent{
		Number: number, Tenant: c.tenant, Subject: c.msg.Subject, MessageID: c.msg.Header.Get(messages.HeaderMessageID),
		BodyHash: sha256.Sum256(c.msg.Data),
	}
	if c.copied {
		s.Copy = CopyAgain
	}
	command, err := messages.DecodeCommand(c.msg.Subject, c.msg.Header, c.msg.Data)
	var refused *messages.DecodeError
	if errors.As(err, &refused) {
		s.DeadLetter = string(refused.Code)
		return s
	}
	s.Command, s.PaymentID, s.Key = command.Name(), command.PaymentID, command.IdempotencyKey
	s.CommandID, s.PayloadHash = command.ID, command.PayloadHash
	return s
}

// The values of Sent.Copy.
const (
	CopyAgain  = "again"
	CopyReplay = "replay"
)
