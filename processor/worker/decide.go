package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// errTooEarly means that a notification is about what has not happened here yet.
var errTooEarly = errors.New("a notification came too early")

// begin decides a command on the payment as it stands and commits the decision together with the claim of its
// idempotency key.
func (h *handling) begin(ctx context.Context, cmd messages.Command) (payment.Decision, error) {
	presumed := h.presumes(cmd)
	for {
		loaded, err := h.known(ctx, cmd, presumed)
		if err != nil {
			return payment.Decision{}, err
		}
		d, claim := h.meaning(loaded, cmd)
		if d.TooEarly() {
			if h.patient(ctx) {
				continue
			}
			if cmd.Name() == messages.CommandNotify {
				// What a gateway says can't be refused: it is kept until its time comes, or a person looks.
				return payment.Decision{}, fmt.Errorf("%w: %s", errTooEarly, d.Refusal.Message)
			}
		}
		err = h.commit(ctx, loaded.Payment, d, claim)
		if !h.reloads(ctx, err) {
			return d, err
		}
		if presumed && overtaken(err) {
			h.doubts.Store(doubtsAfterError)
		}
		presumed = false
	}
}

// doubtsAfterError is for how many creates nothing is presumed after one for which it was wrong: losing a claim costs a whole
// batch a second try.
const doubtsAfterError = 1000

// presumes reports whether to decide a command without a look into the store, as if there were neither its payment nor its
// key. That is so of nearly every create that is delivered for the first time. Where it isn't, the commit finds out, since
// it compares the version and claims the key, and the command is decided anew on what is there.
func (h *handling) presumes(cmd messages.Command) bool {
	if cmd.Name() != messages.CommandCreate || h.again {
		return false
	}
	return h.doubts.Load() <= 0 || h.doubts.Add(-1) < 0
}

// known is what a command is decided on.
func (h *handling) known(ctx context.Context, cmd messages.Command, presumed bool) (store.Loaded, error) {
	if presumed {
		return store.Loaded{Payment: &payment.Payment{}}, nil
	}
	return h.load(ctx, cmd)
}

// record decides on the payment as it was left, or as others left it meanwhile, and commits.
func (h *handling) record(
	ctx context.Context, cmd messages.Command, p *payment.Payment, decide func(*payment.Payment) payment.Decision,
) (payment.Decision, error) {
	for {
		d := decide(p)
		err := h.commit(ctx, p, d, nil)
		if !h.reloads(ctx, err) {
			return d, err
		}
		loaded, err := h.load(ctx, cmd)
		if err != nil {
			return payment.Decision{}, err
		}
		p = loaded.Payment
	}
}

// meaning says what a command means given what is known of its idempotency key: a new question, one answered before
// whose answer may have been cut short, or another question under a key that is taken.
func (h *handling) meaning(loaded store.Loaded, cmd messages.Command) (payment.Decision, *store.Claim) {
	p, env := loaded.Payment, h.env(cmd, loaded.Payment)
	known := loaded.Claim
	switch {
	case cmd.IdempotencyKey == "":
		return payment.Decide(p, cmd, env), nil
	case known == nil:
		d := payment.Decide(p, cmd, env)
		return d, claimFor(cmd, d)
	case cmd.Name() == messages.CommandNotify:
		// A gateway may word what it repeats differently; its event's id says that it is the same.
		return payment.Decision{Payment: p}, nil
	case known.PaymentID == cmd.PaymentID && known.PayloadHash == cmd.PayloadHash:
		return payment.Continue(p, cmd, known.OperationID, env), nil
	case loaded.Conflict != nil:
		return payment.Decision{Payment: p}, nil
	default:
		d := payment.Reject(p, cmd, rejectionFor(cmd, known), env)
		claim := claimFor(cmd, d)
		claim.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
		return d, claim
	}
}

// rejectionFor explains a key that was used before for something else. A create that differs in nothing but its payment
// id is the same create again: the first payment stands, and is named.
func rejectionFor(cmd messages.Command, known *store.RecordedClaim) messages.CommandRejected {
	if cmd.Name() == messages.CommandCreate && known.PayloadHash == cmd.PayloadHash {
		return messages.CommandRejected{
			Code: messages.RejectAlreadyProcessed, OriginalPaymentID: known.PaymentID,
			Message: "this create was processed before, as payment " + known.PaymentID.String(),
		}
	}
	return messages.CommandRejected{
		Code: messages.RejectIdempotencyConflict, OriginalPaymentID: known.PaymentID,
		Message: "the idempotency key was used before for a different " + string(cmd.Name()),
	}
}

func claimFor(cmd messages.Command, d payment.Decision) *store.Claim {
	return &store.Claim{
		Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
		OperationID: d.OperationID(), Rejected: d.Refusal != nil,
	}
}

// load reads the payment and what is known of the command's key, however long PostgreSQL is away.
func (h *handling) load(ctx context.Context, cmd messages.Command) (store.Loaded, error) {
	key := store.Key{PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, Command: cmd.Name(), IdempotencyKey: cmd.IdempotencyKey}
	if key.IdempotencyKey != "" {
		key.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
	}
	for {
		loaded, err := h.store.Load(ctx, key)
		switch {
		case err == nil:
			h.progress()
			return loaded, nil
		case !h.outlasts(ctx, err):
			return store.Loaded{}, err // names the payment
		}
	}
}

// commit writes what was decided; nothing decided is nothing to write.
func (h *handling) commit(ctx context.Context, before *payment.Payment, d payment.Decision, claim *store.Claim) error {
	if len(d.Events) == 0 {
		return nil
	}
	err := h.store.Commit(ctx, store.Change{
		Payment: d.Payment, ExpectedVersion: before.Version, Events: d.Events, Claim: claim,
		PreviousDueAt: before.DueAt(), PreviousHash: before.LastHash,
	})
	if err != nil {
		return err // names the payment and the version
	}
	h.progress()
	return nil
}

// overtaken reports whether a change was not written because another one came first.
func overtaken(err error) bool {
	return errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrClaimTaken)
}

// reloads reports whether a commit that came back with err is to be decided anew on a fresh state: somebody else was
// faster, or it is not known whether it was written.
func (h *handling) reloads(ctx context.Context, err error) bool {
	switch {
	case err == nil:
		return false
	case overtaken(err):
		return ctx.Err() == nil
	default:
		return h.outlasts(ctx, err)
	}
}

// outlasts waits a moment if PostgreSQL is away, and reports whether it may be back. The command stays in hand
// meanwhile: an outage costs no deliveries, and the slots it fills keep new commands from being fetched.
func (h *handling) outlasts(ctx context.Context, err error) bool {
	if !store.Retryable(err) || ctx.Err() != nil {
		return false
	}
	h.progress()
	h.log.Debug("waiting for PostgreSQL", zap.Error(err))
	return retry.Sleep(ctx, outagePause)
}

const (
	outagePause  = 250 * time.Millisecond
	patiencePace = 20 * time.Millisecond
)

// patient waits a moment for what the command came too early for, and reports whether to look again.
func (h *handling) patient(ctx context.Context) bool {
	waited := h.now().Sub(h.began)
	if waited >= h.cfg.Patience {
		return false
	}
	// Look again soon at first, then more and more rarely.
	return retry.Sleep(ctx, min(max(patiencePace, waited/4), h.cfg.Patience-waited))
}
