package store

import _ "embed"

// Every statement of the store is here or in queries/, one to a file, so that a test can prepare
// them all.

const (
	beginSQL    = "begin"
	commitSQL   = "commit"
	rollbackSQL = "rollback"
	// vacuumSQL can't be prepared.
	vacuumSQL = "vacuum (analyze)"
)

// Settings returns the statement that each transaction on the way of a payment begins with: it
// makes PostgreSQL find rows through indexes, with one plan for any number of them. It takes no
// arguments and holds until the transaction ends.
func Settings() string { return settingsSQL }

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

//go:embed queries/timers_fired.sql
var timersFiredSQL string

//go:embed queries/published_resumes.sql
var publishedResumesSQL string

//go:embed queries/bound_resumes.sql
var boundResumesSQL string

//go:embed queries/resume_bounds.sql
var resumeBoundsSQL string

//go:embed queries/handled_resumes.sql
var handledResumesSQL string

//go:embed queries/reschedule_lock.sql
var rescheduleLockSQL string

//go:embed queries/unpark.sql
var unparkSQL string

//go:embed queries/next_timer.sql
var nextTimerSQL string

//go:embed queries/begin_redelivery.sql
var beginRedeliverySQL string

//go:embed queries/end_redelivery.sql
var endRedeliverySQL string

//go:embed queries/old_redeliveries.sql
var oldRedeliveriesSQL string

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

//go:embed queries/list_timers.sql
var listTimersSQL string

//go:embed queries/review_events.sql
var reviewEventsSQL string

//go:embed queries/clock.sql
var clockSQL string

//go:embed queries/wal_position.sql
var walPositionSQL string

//go:embed queries/server_facts.sql
var serverFactsSQL string
