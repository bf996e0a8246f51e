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

// plan determines the scripts of a run. Its fields alone do, so that the judge makes again what the
// producer made.
type plan struct {
	seed     uint64
	tenants  []string
	payments int // 0 is without end
	webhooks bool
}

// numbersEach is the number of places in the plan that each script has.
const numbersEach = 32

// script is the plan of one payment: the steps that a producer takes one after the other, and the
// oracle: where the payment must come to rest, derived from the card and the commands alone.
type script struct {
	index  int
	tenant string
	id     uuid.UUID
	create *messages.Create
	steps  []step
	// ends holds for each number of steps taken, from 0, the ends of which one must be reached.
	ends [][]end
	// impatient means that the producer waits for no answer, and publishes in any order: commands
	// may then be refused for their order, and only the limits of the end are known.
	impatient bool
	// differs means that the gateway moves another amount than it is asked for.
	differs bool
}

// step is one command of a script, with the answer that it must get.
type step struct {
	planned
	command   messages.CommandName
	paymentID uuid.UUID
	// refusal is the code with which it must be refused; "" means that it must be accepted.
	refusal messages.RejectionCode
	// then is an event that follows the answer by itself, before the next step; "" is none.
	then messages.EventType
	// copies are published after it, without a wait.
	copies []planned
	// reviewed means that its message is made of the review that it ends.
	reviewed bool
}

// planned is one message of the plan.
type planned struct {
	tenant string
	// copied means that it repeats an earlier message.
	copied bool
	msg    *nats.Msg
}

// script makes the script of payment i; nil when the plan is at its end.
func (p plan) script(i int) *script {
	if p.payments > 0 && i >= p.payments {
		return nil
	}
	random := rand.New(rand.NewPCG(p.seed, uint64(i)+1)) //nolint:gosec // G115, G404: it has to be repeatable
	d := &draft{Rand: random, plan: p, script: &script{index: i}}
	d.tenant, d.id = p.tenants[d.IntN(len(p.tenants))], newID(random)
	d.keys = d.id.String()
	if pair := p.pair(i); pair != "" {
		// The other one of the pair uses the same keys as another tenant: both must be accepted.
		d.tenant, d.keys = p.tenants[i%2], pair
	}
	d.write()
	return d.script
}

// pair names the two payments, i among them, that share their keys across tenants; "" if i shares
// none.
func (p plan) pair(i int) string {
	random := rand.New(rand.NewPCG(p.seed, ^uint64(i/2))) //nolint:gosec // G115, G404: it has to be repeatable
	if len(p.tenants) < 2 || random.IntN(8) > 0 {
		return ""
	}
	return newID(random).String()
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

// message encodes a command under a key of the script's own.
func (s *script) message(keys, key string, paymentID uuid.UUID, body messages.CommandBody) planned {
	key = keys + ":" + key
	command := messages.Command{
		ID: key + ":" + strconv.Itoa(len(s.steps)), Tenant: s.tenant, PaymentID: paymentID, IdempotencyKey: key, Body: body,
	}
	subject, header, data, err := messages.EncodeCommand(command, messages.Origin{Source: "tender-chaos"})
	if err != nil {
		panic("chaos: planned a command that cannot be encoded: " + err.Error())
	}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: data}
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	return planned{tenant: s.tenant, msg: msg}
}

// reviewedBy is the message with which an operator ends the review of an operation: by accepting
// what the gateway reported, or by giving back what it took too much.
func (s *script) reviewedBy(name messages.CommandName, operationID string) planned {
	var body messages.CommandBody = &messages.Resolve{
		OperationID: operationID, Outcome: messages.ResolvedSucceeded, Actor: "chaos", Reason: "the amount is accepted",
	}
	if name == messages.CommandCompensate {
		body = &messages.Compensate{OperationID: operationID, Actor: "chaos", Reason: "the gateway took too much"}
	}
	return s.message(s.id.String(), string(name), s.id, body)
}

// number is the place of a step in the plan.
func (s *script) number(step int) int { return s.index*numbersEach + step }

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
