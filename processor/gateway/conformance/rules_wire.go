package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// post sends a body to where operations of a kind are made.
func (t *trial) post(ctx context.Context, kind messages.OperationKind, body []byte) (protocol.Reply, bool) {
	return t.exchange(ctx, fmt.Sprintf("the %s %s", kind, protocol.Shown(string(body))), func(ctx context.Context) (protocol.Reply, error) {
		return t.target.wire.post(ctx, kind, body)
	})
}

// exchange sends something below the gateway and notes the reply. It returns false without a
// reply.
func (t *trial) exchange(ctx context.Context, what string, send func(context.Context) (protocol.Reply, error)) (protocol.Reply, bool) {
	if t.over(ctx) {
		return protocol.Reply{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, t.options.CallTimeout)
	defer cancel()
	r, err := send(ctx)
	if err != nil {
		t.note("%s: %v", what, err)
		t.breached("%s: no answer: %v", what, err)
		return protocol.Reply{}, false
	}
	t.note("%s: %d %s", what, r.Status, protocol.Shown(string(r.Body)))
	return r, true
}

// refused wants an operation to be refused with a code.
func (t *trial) refused(ctx context.Context, op messages.Operation, code protocol.Code) {
	t.refusedBody(ctx, op.Kind, encode(op), code)
}

func (t *trial) refusedBody(ctx context.Context, kind messages.OperationKind, body []byte, code protocol.Code) {
	if r, ok := t.post(ctx, kind, body); ok {
		t.problem(r, code)
	}
}

// problem wants a reply to be a problem with a code, under its status.
func (t *trial) problem(r protocol.Reply, code protocol.Code) {
	status, _ := code.Status()
	p, err := protocol.DecodeProblem(r.Body)
	if err != nil || p.Code != code || r.Status != status {
		t.breached("want %d with %s, got %d with %s", status, code, r.Status, protocol.Shown(string(r.Body)))
	}
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return body
}

// with returns an operation's fields, some of them changed; nil leaves a field out.
func with(op messages.Operation, changes map[string]any) []byte {
	var fields map[string]any
	if err := json.Unmarshal(encode(op), &fields); err != nil {
		panic(fmt.Sprintf("decode an operation: %v", err))
	}
	for name, value := range changes {
		if fields[name] = value; value == nil {
			delete(fields, name)
		}
	}
	return encode(fields)
}

func invalidBody(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	good := string(encode(op))
	for _, body := range []string{
		"", "<operation/>", good[:len(good)-1], good + good, "[" + good + "]",
		string(with(op, map[string]any{"amount_minor": 10.5})), string(with(op, map[string]any{"amount_minor": "1000"})),
		string(with(op, map[string]any{"payment_id": "not-a-uuid"})),
	} {
		t.refusedBody(ctx, op.Kind, []byte(body), protocol.CodeInvalidRequest)
	}
	t.succeed(ctx, op) // None of that has used the key.
}

func duplicateFields(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	good := string(encode(op))
	for _, twice := range []string{`"amount_minor":1`, `"amount_minor":1000`, `"currency":"USD"`, `"capture":true,"capture":false`, `"tenant":"acme"`} {
		body := good[:len(good)-1] + "," + twice + "}"
		t.refusedBody(ctx, op.Kind, []byte(body), protocol.CodeInvalidRequest)
	}
	t.succeed(ctx, op) // None of that has used the key.
}

func otherContentType(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	for _, claimed := range []string{"text/plain", "application/x-www-form-urlencoded"} {
		r, ok := t.exchange(ctx, "the operation as "+claimed, func(ctx context.Context) (protocol.Reply, error) {
			return t.target.http.postAs(ctx, claimed, encode(op))
		})
		if ok {
			t.problem(r, protocol.CodeInvalidRequest)
		}
	}
	t.succeed(ctx, op)
}

// repliesAsDescribed makes an exchange of each kind, and judges every reply of the run.
func repliesAsDescribed(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	t.lookup(ctx, authorize)
	p.Reference = t.do(ctx, authorize).GatewayReference
	for _, op := range []messages.Operation{p.Capture(600), p.Capture(401), p.Refund(100), p.Void()} {
		t.do(ctx, op)
		t.lookup(ctx, op)
	}
	t.lookup(ctx, authorize)
	t.post(ctx, authorize.Kind, []byte("<operation/>"))
	if fault := t.target.described.firstFault(); fault != "" {
		t.breached("%s", fault)
	}
}

func requiredFields(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	for _, changes := range []map[string]any{
		{"operation_id": nil},
		{"kind": nil},
		{"kind": "cancel"},
		{"tenant": nil},
		{"tenant": ""},
		{"payment_id": nil},
		{"amount_minor": nil},
		{"amount_minor": 0},
		{"amount_minor": -1},
		{"currency": nil},
		{"currency": "DOLLARS"},
		{"payment_method": nil},
		{"payment_method": "no-such-card"},
	} {
		t.refusedBody(ctx, authorize.Kind, with(authorize, changes), protocol.CodeInvalidRequest)
	}
	r, ok := t.exchange(ctx, "a lookup without a tenant", func(ctx context.Context) (protocol.Reply, error) {
		return t.target.wire.lookup(ctx, protocol.Key{OperationID: authorize.ID})
	})
	if ok {
		t.problem(r, protocol.CodeInvalidRequest)
	}
	p.Reference = t.succeed(ctx, authorize).GatewayReference
	for _, op := range []messages.Operation{p.Capture(1000), p.Refund(1000), p.Void()} {
		t.refusedBody(ctx, op.Kind, with(op, map[string]any{"gateway_reference": nil}), protocol.CodeInvalidRequest)
		if op.Kind == messages.OperationVoid {
			t.decline(ctx, op) // Everything is captured by now.
			continue
		}
		t.refusedBody(ctx, op.Kind, with(op, map[string]any{"amount_minor": 0}), protocol.CodeInvalidRequest)
		t.refund(ctx, op)
	}
}

func unknownField(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	r, ok := t.post(ctx, op.Kind, with(op, map[string]any{"unknown_field": true}))
	if !ok {
		return
	}
	if r.IsAnswer() {
		t.succeeded(op, t.ended(ctx, op, protocol.Exchange{OperationID: op.ID}.Outcome(r)))
	} else {
		t.problem(r, protocol.CodeInvalidRequest)
	}
	t.succeed(ctx, op)
}

func credentials(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	t.strangers(ctx, op)
	t.want(op, t.lookup(ctx, op), messages.OutcomeNotFound)
	t.succeed(ctx, op)
	t.strangers(ctx, op) // Nor does a known operation become known to them.
}

// strangers ask for an operation without the right key.
func (t *trial) strangers(ctx context.Context, op messages.Operation) {
	for name, key := range map[string]string{"no key": "", "a wrong key": "x", "a key that is too long": t.target.http.apiKey + "x"} {
		stranger := t.target.http.withKey(key)
		made, ok := t.exchange(ctx, "the operation with "+name, func(ctx context.Context) (protocol.Reply, error) {
			return stranger.post(ctx, op.Kind, encode(op))
		})
		if ok {
			t.problem(made, protocol.CodeUnauthorized)
		}
		asked, ok := t.exchange(ctx, "its lookup with "+name, func(ctx context.Context) (protocol.Reply, error) {
			return stranger.lookup(ctx, protocol.KeyOf(op))
		})
		if ok {
			t.problem(asked, protocol.CodeUnauthorized)
		}
	}
}

func health(ctx context.Context, t *trial) {
	r, ok := t.exchange(ctx, "GET "+protocol.PathHealth, func(ctx context.Context) (protocol.Reply, error) {
		return t.target.http.withKey("").get(ctx, protocol.PathHealth)
	})
	if ok && r.Status != http.StatusOK {
		t.breached("GET %s: want 200, got %d", protocol.PathHealth, r.Status)
	}
}

func operationOfItsSubject(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	capture := p.Capture(1000)
	for _, kind := range []messages.OperationKind{messages.OperationAuthorize, messages.OperationRefund, messages.OperationVoid} {
		t.refusedBody(ctx, kind, encode(capture), protocol.CodeInvalidRequest)
	}
	t.want(capture, t.lookup(ctx, capture), messages.OutcomeNotFound)
	t.succeed(ctx, capture)
}

func deadlinePassed(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	past := time.Unix(0, 0)
	for _, header := range []string{protocol.FormatDeadline(past), "yesterday"} {
		r, ok := t.exchange(ctx, "the operation with the deadline "+header, func(ctx context.Context) (protocol.Reply, error) {
			return t.target.nats.request(ctx, string(op.Kind), encode(op), map[string]string{protocol.HeaderDeadline: header})
		})
		if ok {
			t.problem(r, protocol.CodeNotDone)
		}
	}
	t.want(op, t.lookup(ctx, op), messages.OutcomeNotFound)
	t.succeed(ctx, op)
}
