package messages

// EndsCommand reports whether the event is an answer to a command of this name: after it, nothing
// more happens by itself that the command asked for. An unknown outcome is no answer, a review is:
// a person has to look. That a gateway finishes the operation later is no answer either. A resume
// has none. That the event was caused by the command at hand is for
// the caller to see, from its causation id.
func EndsCommand(name CommandName, e Event) bool {
	if rejected, ok := e.Data.(*CommandRejected); ok {
		return rejected.Command == name
	}
	switch name {
	case CommandCreate, CommandConfirm:
		switch e.Data.(type) {
		case *PaymentAuthorized, *PaymentCaptured, *PaymentActionRequired, *PaymentDeclined, *PaymentFailed, *PaymentReviewOpened:
			return true
		case *PaymentVoided:
			// It was declined, and what the customer completed at the last moment is released.
			return true
		case *PaymentConfirmFailed:
			return name == CommandConfirm
		}
	case CommandCapture:
		switch e.Data.(type) {
		case *PaymentCaptured, *PaymentCaptureFailed, *PaymentReviewOpened:
			return true
		}
	case CommandVoid:
		switch e.Data.(type) {
		case *PaymentVoided, *PaymentVoidFailed, *PaymentReviewOpened:
			return true
		}
	case CommandRefund:
		switch e.Data.(type) {
		case *RefundSucceeded, *RefundFailed, *PaymentReviewOpened:
			return true
		}
	case CommandCompensate:
		switch e.Data.(type) {
		case *PaymentCompensated, *PaymentCompensationFailed, *PaymentReviewOpened:
			return true
		}
	case CommandResolve:
		_, ok := e.Data.(*PaymentOutcomeResolved)
		return ok
	case CommandResume, CommandNotify:
	}
	return false
}
