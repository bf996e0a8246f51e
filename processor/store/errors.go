package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/messages"
)

var (
	// ErrVersionConflict says that the payment has moved on since it was loaded, or that the
	// database has lost it since then in a failover, so that nothing was written: load it and
	// decide again. A lost payment is loaded as one at version 0.
	ErrVersionConflict = errors.New("the payment has changed since it was loaded")
	// ErrClaimTaken says that the idempotency key was claimed meanwhile, so that nothing was
	// written: load again. The error is a *ClaimTakenError.
	ErrClaimTaken = errors.New("the idempotency key was claimed meanwhile")
	// ErrOutcomeUnknown says that the change may or may not have been written: the connection broke
	// while it was being committed, or the caller stopped waiting. Load again to see; a change that
	// is written after all wins over one that is decided on what was loaded too early, as with any
	// two writers.
	ErrOutcomeUnknown = errors.New("it is not known whether the change was written")
	// ErrOtherTenant says that the payment's id is in use by another tenant.
	ErrOtherTenant = errors.New("the payment id belongs to another tenant")
	// ErrNotFound says that there is no such payment, or that it is another tenant's.
	ErrNotFound = errors.New("no such payment")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// ClaimTakenError says which claim was lost. It is ErrClaimTaken.
type ClaimTakenError struct {
	Tenant    string
	Command   messages.CommandName
	Key       string
	PaymentID uuid.UUID // the payment whose change lost
}

// Error implements error.
func (e *ClaimTakenError) Error() string {
	return fmt.Sprintf("%s of payment %s: %s", e.Command, e.PaymentID, ErrClaimTaken)
}

// Is makes the error ErrClaimTaken.
func (e *ClaimTakenError) Is(target error) bool { return target == ErrClaimTaken }

// Retryable reports whether the same call may succeed later without anything else changing: the
// database could not be reached, was busy, restarting or failing over, or the outcome of a commit
// is not known. Conflicts are not among them: they are answered by loading again at once.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) && !errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
		return errors.Is(err, ErrOutcomeUnknown) || transientCode(refused.Code)
	}
	return errors.Is(err, ErrOutcomeUnknown) || connectionFailed(err)
}

// transientCode tells the SQLSTATE codes of the server's condition from those of the statement.
// See "PostgreSQL Error Codes" in the PostgreSQL manual, appendix A.
func transientCode(code string) bool {
	for _, class := range []string{
		"08", // connection exception
		"40", // transaction rollback: serialization failure, deadlock
		"53", // insufficient resources
		"57", // operator intervention: shutdown, starting up, canceled
		"58", // system error outside PostgreSQL
	} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	switch code {
	case "55P03", // lock not available
		"25006", // read-only transaction: a failover has left the connection on a standby
		"25P03", // idle in transaction for too long
		"25P04": // transaction timeout
		return true
	default:
		return false
	}
}

func connectionFailed(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, context.DeadlineExceeded)
}

// dataFault reports whether a statement failed because of the data in it, so that it may succeed
// without some of it.
func dataFault(err error) bool {
	refused := (*pgconn.PgError)(nil)
	if !errors.As(err, &refused) {
		return false
	}
	for _, class := range []string{
		"21", // cardinality violation
		"22", // data exception: text that can't be stored, a number out of range
		"23", // integrity constraint violation
		"54", // program limit exceeded: an index row too large
	} {
		if strings.HasPrefix(refused.Code, class) {
			return true
		}
	}
	return false
}

// refusedByServer reports whether the server itself said that the statement failed and is still
// there. An error that ends the session says nothing about what the session was doing.
func refusedByServer(err error) bool {
	refused := (*pgconn.PgError)(nil)
	return errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR"
}

// readOnly reports whether a statement failed because the server takes no writes (25006,
// read_only_sql_transaction).
func readOnly(err error) bool {
	refused := (*pgconn.PgError)(nil)
	return errors.As(err, &refused) && refused.Code == "25006"
}
