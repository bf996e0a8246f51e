package messages

// The streams that hold what crosses the bus, and the subjects that each of them takes.
const (
	// StreamCommands holds SubjectsCommands.
	StreamCommands   = "PAYMENTS_CMD"
	SubjectsCommands = commandSubjectPrefix + ">"
	// StreamEvents holds SubjectsEvents.
	StreamEvents   = "PAYMENTS_EVT"
	SubjectsEvents = eventSubjectPrefix + ">"
	// StreamDeadLetters holds SubjectsDeadLetters.
	StreamDeadLetters   = "PAYMENTS_DLQ"
	SubjectsDeadLetters = deadLetterSubjectPrefix + ">"
	// StreamAudit holds SubjectsAudit: the checkpoints of the event store.
	StreamAudit   = "PAYMENTS_AUDIT"
	SubjectsAudit = auditSubjectPrefix + ">"
)
