package store

import _ "embed"

// Every statement of the store is here or in queries/, one to a file, so that a test can prepare them all.

const (
	beginSQL    = "begin"
	commitSQL   = "commit"
	rollbackSQL = "rollback"
	// vacuumSQL can't be prepared.
	vacuumSQL = "vacuum (analyze)"
	// oneMomentSQL comes first in a transaction that is to see one moment only.
	oneMomentSQL = "set transaction isolation level repeatable read read only"
	// unhurriedSQL is for statements that read whole tables, and for a transaction that waits for something else meanwhile.
	unhurriedSQL = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0"
)

//go:embed queries/settings.sql
var settingsSQL string

//go:embed queries/write_payments.sql
var writePaymentsSQL string

//go:embed queries/write_events.sql
var writeEventsSQL string

//go:embed queries/write_timers.sql
var writeTimersSQL string

//go:embed queries/delete_timers.sql
var deleteTimersSQL string

//go:embed queries/load.sql
var loadSQL string

//go:embed queries/get.sql
var getSQL string

//go:embed queries/history.sql
var historySQL string

//go:embed queries/event_hash.sql
var eventHashSQL string

//go:embed queries/list.sql
var listSQL string

//go:embed queries/fire_timers.sql
var fireTimersSQL string

//go:embed queries/next_timer.sql
var nextTimerSQL string

//go:embed queries/clear_stale.sql
var clearStaleSQL string

//go:embed queries/sweep_stale.sql
var sweepStaleSQL string

//go:embed queries/schema_exists.sql
var schemaExistsSQL string

//go:embed queries/schema_version.sql
var schemaVersionSQL string

//go:embed queries/ensure_partitions.sql
var ensurePartitionsSQL string

//go:embed queries/current_schema.sql
var currentSchemaSQL string

//go:embed queries/try_lock.sql
var tryLockSQL string

//go:embed queries/unlock.sql
var unlockSQL string

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

//go:embed queries/list_timers.sql
var listTimersSQL string

//go:embed queries/review_events.sql
var reviewEventsSQL string

//go:embed queries/floor_payments.sql
var floorPaymentsSQL string

//go:embed queries/floor_settle.sql
var floorSettleSQL string

//go:embed queries/floor_claims.sql
var floorClaimsSQL string

//go:embed queries/floor_outbox.sql
var floorOutboxSQL string

//go:embed queries/floor_published.sql
var floorPublishedSQL string

//go:embed queries/floor_no_wait.sql
var floorNoWaitSQL string

//go:embed queries/wal_position.sql
var walPositionSQL string

//go:embed queries/server_facts.sql
var serverFactsSQL string
