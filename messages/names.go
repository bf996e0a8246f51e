package messages

// CommandNames returns every command, in the order of a payment's life.
func CommandNames() []CommandName {
	return []CommandName{
		CommandCreate, CommandConfirm, CommandCapture, CommandVoid, CommandRefund, CommandResume, CommandResolve,
		CommandCompensate, CommandNotify,
	}
}

func (n CommandName) known() bool {
	switch n {
	case CommandCreate, CommandConfirm, CommandCapture, CommandVoid, CommandRefund, CommandResume, CommandResolve,
		CommandCompensate, CommandNotify:
		return true
	default:
		return false
	}
}

// EventTypes returns every event type, those that are not published included.
func EventTypes() []EventType {
	return []EventType{
		EventPaymentCreated, EventPaymentRouted, EventPaymentParked, EventPaymentProcessing, EventPaymentActionRequired,
		EventPaymentConfirmFailed, EventPaymentAuthorized, EventPaymentDeclined, EventPaymentOutcomeUnknown,
		EventPaymentOutcomeResolved, EventPaymentCaptured, EventPaymentCaptureFailed, EventPaymentCaptureReversed,
		EventPaymentVoided, EventPaymentVoidFailed, EventPaymentExpiring, EventPaymentExpired, EventPaymentFailed,
		EventPaymentReviewOpened, EventPaymentCompensated, EventPaymentCompensationFailed,
		EventRefundCreated, EventRefundSucceeded, EventRefundFailed,
		EventDisputeOpened, EventDisputeChallenged, EventDisputeAccepted, EventDisputeExpired, EventDisputeCanceled,
		EventDisputeWon, EventDisputeLost,
		EventCommandRejected,
		EventOperationSent, EventOperationNotSent, EventOperationDeclined, EventOperationClosed, EventOperationChecked,
	}
}

func (t EventType) known() bool {
	switch t {
	case EventPaymentCreated, EventPaymentRouted, EventPaymentParked, EventPaymentProcessing, EventPaymentActionRequired,
		EventPaymentConfirmFailed, EventPaymentAuthorized, EventPaymentDeclined, EventPaymentOutcomeUnknown,
		EventPaymentOutcomeResolved, EventPaymentCaptured, EventPaymentCaptureFailed, EventPaymentCaptureReversed,
		EventPaymentVoided, EventPaymentVoidFailed, EventPaymentExpiring, EventPaymentExpired, EventPaymentFailed,
		EventPaymentReviewOpened, EventPaymentCompensated, EventPaymentCompensationFailed,
		EventRefundCreated, EventRefundSucceeded, EventRefundFailed,
		EventDisputeOpened, EventDisputeChallenged, EventDisputeAccepted, EventDisputeExpired, EventDisputeCanceled,
		EventDisputeWon, EventDisputeLost,
		EventCommandRejected,
		EventOperationSent, EventOperationNotSent, EventOperationDeclined, EventOperationClosed, EventOperationChecked:
		return true
	default:
		return false
	}
}

// newEventData returns empty data of the type, or nil if the type is unknown.
func newEventData(t EventType) EventData {
	switch t {
	case EventPaymentCreated:
		return new(PaymentCreated)
	case EventPaymentRouted:
		return new(PaymentRouted)
	case EventPaymentParked:
		return new(PaymentParked)
	case EventPaymentProcessing:
		return new(PaymentProcessing)
	case EventPaymentConfirmFailed:
		return new(PaymentConfirmFailed)
	case EventPaymentCompensated:
		return new(PaymentCompensated)
	case EventPaymentCompensationFailed:
		return new(PaymentCompensationFailed)
	case EventPaymentActionRequired:
		return new(PaymentActionRequired)
	case EventPaymentAuthorized:
		return new(PaymentAuthorized)
	case EventPaymentDeclined:
		return new(PaymentDeclined)
	case EventPaymentOutcomeUnknown:
		return new(PaymentOutcomeUnknown)
	case EventPaymentOutcomeResolved:
		return new(PaymentOutcomeResolved)
	case EventPaymentCaptured:
		return new(PaymentCaptured)
	case EventPaymentCaptureFailed:
		return new(PaymentCaptureFailed)
	case EventPaymentCaptureReversed:
		return new(PaymentCaptureReversed)
	case EventPaymentVoided:
		return new(PaymentVoided)
	case EventPaymentVoidFailed:
		return new(PaymentVoidFailed)
	case EventPaymentExpiring:
		return new(PaymentExpiring)
	case EventPaymentExpired:
		return new(PaymentExpired)
	case EventPaymentFailed:
		return new(PaymentFailed)
	case EventPaymentReviewOpened:
		return new(PaymentReviewOpened)
	case EventRefundCreated:
		return new(RefundCreated)
	case EventRefundSucceeded:
		return new(RefundSucceeded)
	case EventRefundFailed:
		return new(RefundFailed)
	case EventDisputeOpened, EventDisputeChallenged, EventDisputeAccepted, EventDisputeExpired, EventDisputeCanceled,
		EventDisputeWon, EventDisputeLost:
		return &Dispute{Type: t}
	case EventCommandRejected:
		return new(CommandRejected)
	case EventOperationSent:
		return new(OperationSent)
	case EventOperationNotSent:
		return new(OperationNotSent)
	case EventOperationDeclined:
		return new(OperationDeclined)
	case EventOperationClosed:
		return new(OperationClosed)
	case EventOperationChecked:
		return new(OperationChecked)
	default:
		return nil
	}
}
