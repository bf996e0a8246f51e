package books

import (
	_ "embed"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// Every statement of this package is here or in queries/, one to a file, so that a test can prepare
// them all.

const (
	// oneMomentSQL comes first in a transaction that is to see one moment only.
	oneMomentSQL = "set transaction isolation level repeatable read read only"
	// unhurriedSQL is for statements that read whole tables, and for a transaction that waits for
	// something else meanwhile.
	unhurriedSQL = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0"
)

//go:embed queries/now.sql
var nowSQL string

//go:embed queries/check_bound.sql
var checkBoundSQL string

//go:embed queries/check_snapshot.sql
var checkSnapshotSQL string

//go:embed queries/check_payments.sql
var checkPaymentsSQL string

//go:embed queries/check_events.sql
var checkEventsSQL string

//go:embed queries/check_timers.sql
var checkTimersSQL string

//go:embed queries/check_claims.sql
var checkClaimsSQL string

//go:embed queries/check_outbox_bound.sql
var checkOutboxBoundSQL string

//go:embed queries/check_operations.sql
var checkOperationsSQL string

//go:embed queries/check_claims_bound.sql
var checkClaimsBoundSQL string

//go:embed queries/check_claims_count.sql
var checkClaimsCountSQL string

//go:embed queries/check_outbox_count.sql
var checkOutboxCountSQL string

//go:embed queries/check_outbox.sql
var checkOutboxSQL string

//go:embed queries/checkpoint_mark.sql
var checkpointMarkSQL string

//go:embed queries/checkpoint_boundary.sql
var checkpointBoundarySQL string

//go:embed queries/checkpoint_settled.sql
var checkpointSettledSQL string

//go:embed queries/checkpoint_lock.sql
var checkpointLockSQL string

//go:embed queries/checkpoint_settings.sql
var checkpointSettingsSQL string

//go:embed queries/checkpoint_last.sql
var checkpointLastSQL string

//go:embed queries/checkpoint_list.sql
var checkpointListSQL string

//go:embed queries/checkpoint_leaves.sql
var checkpointLeavesSQL string

//go:embed queries/write_checkpoint.sql
var writeCheckpointSQL string

//go:embed queries/check_leaves.sql
var checkLeavesSQL string

//go:embed queries/republish_page.sql
var republishPageSQL string

//go:embed queries/republish_events.sql
var republishEventsSQL string

//go:embed queries/republish_lock.sql
var republishLockSQL string

//go:embed queries/audit_awaiting.sql
var auditAwaitingSQL string

//go:embed queries/audit_events_of.sql
var auditEventsOfSQL string

//go:embed queries/audit_commands.sql
var auditCommandsSQL string

//go:embed queries/audit_match.sql
var auditMatchSQL string

//go:embed queries/audit_waiting.sql
var auditWaitingSQL string

//go:embed queries/audit_committed.sql
var auditCommittedSQL string

//go:embed queries/audit_states.sql
var auditStatesSQL string

//go:embed queries/audit_claims.sql
var auditClaimsSQL string

//go:embed queries/audit_unfinished.sql
var auditUnfinishedSQL string

//go:embed queries/rebuild_bound.sql
var rebuildBoundSQL string

//go:embed queries/rebuild_count.sql
var rebuildCountSQL string

//go:embed queries/rebuild_lock.sql
var rebuildLockSQL string

//go:embed queries/rebuild_payments.sql
var rebuildPaymentsSQL string

//go:embed queries/rebuild_timers.sql
var rebuildTimersSQL string

//go:embed queries/current_schema.sql
var currentSchemaSQL string

// column takes one field of many rows, as an array for unnest.
func column[R, T any](rows []R, get func(R) T) pgtype.FlatArray[T] {
	values := make(pgtype.FlatArray[T], len(rows))
	for i, r := range rows {
		values[i] = get(r)
	}
	return values
}

func id(u uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: u, Valid: true} }

// instant is null for the zero time.
func instant(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}
