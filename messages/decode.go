package messages

import (
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// BodySizeMax is the size of the largest body a command may have, in bytes.
const BodySizeMax = 64 << 10

// DecodeCommand reads a command as it came from the bus. It is lenient about the envelope and
// strict about the content: subject, body and Nats-Msg-Id are enough, but every field must be
// known, present once, of the right type and within its limits, so that a misspelt or misread
// amount is refused and not guessed at. A field is left out, never null: null in place of an amount
// would otherwise capture or refund everything. An empty body stands for {} .
//
// It fails with a *DecodeError only. Neither its text nor its fields hold a card number, but the
// message may: a caller that keeps a refused message keeps MaskCardNumbers of it.
func DecodeCommand(subject string, header nats.Header, body []byte) (Command, error) {
	if err := checkBody(body); err != nil {
		return Command{}, err
	}
	tenant, name, paymentID, err := ParseCommandSubject(subject)
	if err != nil {
		return Command{}, err
	}
	h, err := readCommandHeader(header)
	if err != nil {
		return Command{}, err
	}
	decoded, err := decodeCommandBody(name, body)
	if err != nil {
		return Command{}, err
	}
	c := Command{
		ID:             h.id,
		Tenant:         tenant,
		PaymentID:      paymentID,
		IdempotencyKey: h.idempotencyKey,
		CorrelationID:  h.correlationID,
		Traceparent:    h.traceparent,
		Body:           decoded,
	}
	return Complete(c)
}

// Complete fills in what a command says only by leaving it out, and its hash. It fails with a
// *DecodeError where the command lacks an idempotency key that it needs.
func Complete(c Command) (Command, error) {
	switch {
	case c.Name() == CommandResume:
		c.IdempotencyKey = ""
	case c.IdempotencyKey == "":
		return Command{}, refuse(CodeMissingIdempotencyKey, "header "+HeaderIdempotencyKey, "is missing, and so is %s", HeaderMessageID)
	}
	if c.CorrelationID == "" {
		c.CorrelationID = c.PaymentID.String()
	}
	if create, ok := c.Body.(*Create); ok && create.CaptureMethod == "" {
		create.CaptureMethod = CaptureAutomatic
	}
	hash, err := payloadHash(c)
	if err != nil {
		return Command{}, err
	}
	c.PayloadHash = hash
	return c, nil
}

// checkBody looks at the bytes. The size comes first, so that nothing else has to be done to a huge
// body.
func checkBody(body []byte) error {
	switch {
	case len(body) > BodySizeMax:
		return refuse(CodeBodyTooLarge, "body", "has %d bytes, more than %d", len(body), BodySizeMax)
	case ContainsCardNumber(body):
		return refuse(CodeCardNumberPresent, "body", "holds what looks like a card number: send a token instead")
	case !utf8.Valid(body):
		return refuse(CodeInvalidUTF8, "body", "is not UTF-8")
	default:
		return nil
	}
}

// decodeCommandBody reads and validates the body of one command.
func decodeCommandBody(name CommandName, body []byte) (CommandBody, error) {
	var decoded CommandBody
	var take func(field string, v jsonValue) error
	switch name {
	case CommandCreate:
		b := new(Create)
		decoded, take = b, b.take
	case CommandConfirm:
		b := new(Confirm)
		decoded, take = b, b.take
	case CommandCapture:
		b := new(Capture)
		decoded, take = b, b.take
	case CommandVoid:
		b := new(Void)
		decoded, take = b, b.take
	case CommandRefund:
		b := new(Refund)
		decoded, take = b, b.take
	case CommandResume:
		b := new(Resume)
		decoded, take = b, b.take
	case CommandResolve:
		b := new(Resolve)
		decoded, take = b, b.take
	case CommandCompensate:
		b := new(Compensate)
		decoded, take = b, b.take
	case CommandNotify:
		b := new(Notify)
		decoded, take = b, b.take
	default:
		return nil, unknownCommand(string(name))
	}
	if len(body) > 0 {
		if err := readObject(body, take); err != nil {
			return nil, err
		}
	}
	if err := validateBody(decoded); err != nil {
		return nil, err
	}
	return decoded, nil
}

func (c *Create) take(field string, v jsonValue) error {
	switch field {
	case "amount_minor":
		return v.amount(&c.AmountMinor)
	case "currency":
		return v.string(&c.Currency)
	case "payment_method":
		return v.string(&c.PaymentMethod)
	case "capture_method":
		return v.string((*string)(&c.CaptureMethod))
	case "customer_id":
		return v.string(&c.CustomerID)
	case "merchant_reference":
		return v.string(&c.MerchantReference)
	case "country":
		return v.string(&c.Country)
	case "metadata":
		return v.strings(&c.Metadata)
	case "retry":
		c.Retry = new(Retry)
		return v.object(c.Retry.take)
	default:
		return v.unknown()
	}
}

func (r *Retry) take(field string, v jsonValue) error {
	switch field {
	case "max_attempts":
		return v.count(&r.MaxAttempts)
	case "until":
		return v.time(&r.Until)
	default:
		return v.unknown()
	}
}

func (c *Confirm) take(field string, v jsonValue) error {
	if field == "payment_method" {
		return v.string(&c.PaymentMethod)
	}
	return v.unknown()
}

func (c *Capture) take(field string, v jsonValue) error {
	switch field {
	case "amount_minor":
		c.AmountMinor = new(int64)
		return v.amount(c.AmountMinor)
	case "final":
		return v.bool(&c.Final)
	default:
		return v.unknown()
	}
}

func (c *Void) take(field string, v jsonValue) error {
	if field == "reason" {
		return v.string(&c.Reason)
	}
	return v.unknown()
}

func (c *Refund) take(field string, v jsonValue) error {
	switch field {
	case "amount_minor":
		c.AmountMinor = new(int64)
		return v.amount(c.AmountMinor)
	case "reason":
		return v.string((*string)(&c.Reason))
	default:
		return v.unknown()
	}
}

func (c *Resume) take(field string, v jsonValue) error {
	switch field {
	case "due_at":
		return v.time(&c.DueAt)
	case "now":
		return v.bool(&c.Now)
	default:
		return v.unknown()
	}
}

func (c *Resolve) take(field string, v jsonValue) error {
	switch field {
	case "operation_id":
		return v.string(&c.OperationID)
	case "outcome":
		return v.string((*string)(&c.Outcome))
	case "amount_minor":
		c.AmountMinor = new(int64)
		return v.amount(c.AmountMinor)
	case "actor":
		return v.string(&c.Actor)
	case "reason":
		return v.string(&c.Reason)
	case "evidence":
		return v.string(&c.Evidence)
	case "gateway_reference":
		return v.string(&c.GatewayReference)
	default:
		return v.unknown()
	}
}

func (c *Compensate) take(field string, v jsonValue) error {
	switch field {
	case "operation_id":
		return v.string(&c.OperationID)
	case "amount_minor":
		c.AmountMinor = new(int64)
		return v.amount(c.AmountMinor)
	case "actor":
		return v.string(&c.Actor)
	case "reason":
		return v.string(&c.Reason)
	default:
		return v.unknown()
	}
}

func (c *Notify) take(field string, v jsonValue) error {
	switch field {
	case "gateway":
		return v.string(&c.Gateway)
	case "event_id":
		return v.string(&c.EventID)
	case "kind":
		return v.string((*string)(&c.Kind))
	case "occurred_at":
		return v.time(&c.OccurredAt)
	case "operation_id":
		return v.string(&c.OperationID)
	case "gateway_reference":
		return v.string(&c.GatewayReference)
	case "amount_minor":
		return v.amount(&c.AmountMinor)
	case "outcome":
		return v.string((*string)(&c.Outcome))
	case "capture_before":
		return v.time(&c.CaptureBefore)
	default:
		return c.takeDetail(field, v)
	}
}

func (c *Notify) takeDetail(field string, v jsonValue) error {
	switch field {
	case "decline_code":
		return v.string(&c.DeclineCode)
	case "decline_class":
		return v.string((*string)(&c.DeclineClass))
	case "next_action_type":
		return v.string(&c.NextActionType)
	case "next_action_url":
		return v.string(&c.NextActionURL)
	case "next_action_secret":
		return v.string(&c.NextActionSecret)
	case "dispute_id":
		return v.string(&c.DisputeID)
	case "dispute_status":
		return v.string(&c.DisputeStatus)
	case "respond_before":
		return v.time(&c.RespondBefore)
	case "reason":
		return v.string(&c.Reason)
	default:
		return v.unknown()
	}
}
