package messages

// EventType implements EventData.
func (*PaymentCreated) EventType() EventType { return EventPaymentCreated }

// EventType implements EventData.
func (*PaymentRouted) EventType() EventType { return EventPaymentRouted }

// EventType implements EventData.
func (*PaymentParked) EventType() EventType { return EventPaymentParked }

// EventType implements EventData.
func (*OperationDeclined) EventType() EventType { return EventOperationDeclined }

// EventType implements EventData.
func (*PaymentActionRequired) EventType() EventType { return EventPaymentActionRequired }

// EventType implements EventData.
func (*PaymentAuthorized) EventType() EventType { return EventPaymentAuthorized }

// EventType implements EventData.
func (*PaymentDeclined) EventType() EventType { return EventPaymentDeclined }

// EventType implements EventData.
func (*PaymentOutcomeUnknown) EventType() EventType { return EventPaymentOutcomeUnknown }

// EventType implements EventData.
func (*PaymentOutcomeResolved) EventType() EventType { return EventPaymentOutcomeResolved }

// EventType implements EventData.
func (*PaymentCaptured) EventType() EventType { return EventPaymentCaptured }

// EventType implements EventData.
func (*PaymentCaptureFailed) EventType() EventType { return EventPaymentCaptureFailed }

// EventType implements EventData.
func (*PaymentCaptureReversed) EventType() EventType { return EventPaymentCaptureReversed }

// EventType implements EventData.
func (*PaymentVoided) EventType() EventType { return EventPaymentVoided }

// EventType implements EventData.
func (*PaymentVoidFailed) EventType() EventType { return EventPaymentVoidFailed }

// EventType implements EventData.
func (*PaymentExpiring) EventType() EventType { return EventPaymentExpiring }

// EventType implements EventData.
func (*PaymentExpired) EventType() EventType { return EventPaymentExpired }

// EventType implements EventData.
func (*PaymentFailed) EventType() EventType { return EventPaymentFailed }

// EventType implements EventData.
func (*PaymentReviewOpened) EventType() EventType { return EventPaymentReviewOpened }

// EventType implements EventData.
func (*RefundCreated) EventType() EventType { return EventRefundCreated }

// EventType implements EventData.
func (*RefundSucceeded) EventType() EventType { return EventRefundSucceeded }

// EventType implements EventData.
func (*RefundFailed) EventType() EventType { return EventRefundFailed }

// EventType implements EventData.
func (*CommandRejected) EventType() EventType { return EventCommandRejected }

// EventType implements EventData.
func (*OperationSent) EventType() EventType { return EventOperationSent }

// EventType implements EventData.
func (*OperationNotSent) EventType() EventType { return EventOperationNotSent }

// EventType implements EventData.
func (*OperationClosed) EventType() EventType { return EventOperationClosed }

// EventType implements EventData.
func (*OperationChecked) EventType() EventType { return EventOperationChecked }

// EventType implements EventData.
func (d *Dispute) EventType() EventType { return d.Type }

// EventType implements EventData.
func (*PaymentProcessing) EventType() EventType { return EventPaymentProcessing }

// EventType implements EventData.
func (*PaymentConfirmFailed) EventType() EventType { return EventPaymentConfirmFailed }

// EventType implements EventData.
func (*PaymentCompensated) EventType() EventType { return EventPaymentCompensated }

// EventType implements EventData.
func (*PaymentCompensationFailed) EventType() EventType { return EventPaymentCompensationFailed }
