package main

// The files of the bugs.
const (
	gate     = "processor/payment/gate.go"
	settle   = "processor/payment/settle.go"
	later    = "processor/payment/later.go"
	void     = "processor/payment/void.go"
	decide   = "processor/payment/decide.go"
	derived  = "processor/payment/derived.go"
	notify   = "processor/payment/notify.go"
	review   = "processor/payment/review.go"
	delivery = "processor/delivery/delivery.go"
)

// mutants returns the bugs of logic of the issue, by its numbers.
func mutants() []mutant {
	return []mutant{
		{"2", "resume, retry and failover go out during a review", []edit{
			{gate, "if p.reviewing() {", "if false {"},
			{later, "d.Payment.heldByAnother(op, nil) != \"\" || d.Payment.reviewing()", "d.Payment.heldByAnother(op, nil) != \"\""},
		}},
		{"2", "an authorization goes out while another holds the money", []edit{
			{gate, "return p.heldByAnother(op, target)", "return \"\""},
			{later, "d.Payment.heldByAnother(op, nil) != \"\" || d.Payment.reviewing()", "false"},
		}},
		{"3", "what was asked for is booked, not what moved", []edit{
			{settle, "booked := min(outcome.AmountMinor, op.AmountMinor)\n\texcess := outcome.AmountMinor - booked", "booked := op.AmountMinor\n\tvar excess int64"},
			{settle, "if outcome.AmountMinor != op.AmountMinor {", "if false {"},
		}},
		{"3", "a success without an amount books what was asked for", []edit{
			{settle, "if outcome.AmountMinor == 0 && !isVoid(op) {", "if outcome.AmountMinor == 0 { outcome.AmountMinor = op.AmountMinor }\n\tif false {"},
		}},
		{"4", "a confirmation that could not be sent ends the payment", []edit{
			{
				settle, "d.about(op, &messages.PaymentConfirmFailed{Attempt: attempt, Failure: failure})",
				"d.about(op, &messages.PaymentFailed{OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer), Failure: failure})",
			},
		}},
		{"4", "proof that one attempt was not sent counts for those before", []edit{
			{settle, "case op.Unproven || op.Status != OperationSent || op.Attempt != call.Operation.Attempt:", "case op.Status != OperationSent:"},
		}},
		{"5", "a resume decides anew before its call is made", []edit{
			{
				delivery, "if d.Call != nil {\n\t\tm.call, m.known",
				"if d.Call != nil && m.call != nil && m.cmd.Name() == messages.CommandResume && d.Call.Operation.ID != m.call.Operation.ID {\n\t\tm.call = nil\n\t\treturn m.decideCommand(now)\n\t}\n\tif d.Call != nil {\n\t\tm.call, m.known",
			},
		}},
		{"5", "the time to give up never applies", []edit{
			{later, "return giveUp != 0 && d.env.Now.Sub(first.FirstSentAt) >= giveUp", "return false && giveUp != 0"},
		}},
		{"6", "any refusal of a void counts as released", []edit{
			{void, "code == codeAuthorizationVoided || code == codeAuthorizationExpired {\n\t\td.resolved", "code != \"\" {\n\t\td.resolved"},
		}},
		{"7", "refunds go to the gateway of the first authorization", []edit{
			{decide, "OperationID: id, Gateway: source.Gateway, Attempt: 1", "OperationID: id, Gateway: d.Payment.Operations[0].Gateway, Attempt: 1"},
		}},
		{"8", "a lost dispute does not touch the money", []edit{
			{derived, "case messages.EventDisputeWon, messages.EventDisputeCanceled:", "case messages.EventDisputeWon, messages.EventDisputeCanceled, messages.EventDisputeLost:"},
		}},
		{"9", "the reversal of what was refunded asks no person", []edit{
			{notify, "if d.Payment.ShortfallMinor > before {", "if false && before > 0 {"},
		}},
		{"9", "a second charge is not recorded", []edit{
			{review, "case outcome.AmountMinor > known:", "case false:"},
		}},
		{"10", "pending never ends", []edit{
			{settle, "case !op.PendingSince.IsZero() && d.env.Now.Sub", "case false && d.env.Now.Sub"},
		}},
		{"10", "pending answers use up the ladder of unknowns", []edit{
			{
				settle, "case op.Status == OperationPending:\n\t\td.again(op, op.pendingCheckAt(d.env.Now))\n\tdefault:\n\t\td.about(op, &messages.PaymentProcessing{",
				"case op.Status == OperationPending:\n\t\td.openReview(op, outcome, messages.ReviewUnknown, \"\")\n\tdefault:\n\t\td.about(op, &messages.PaymentProcessing{",
			},
		}},
		{"14", "a void of what was captured meanwhile is recorded", []edit{
			{void, "captured := p.capturedAt(target) > 0 && released < max(op.AmountMinor, 1)", "captured := false"},
			{void, "case state.CapturedMinor > captured && state.CapturedMinor <= captured+rest && captured == 0 && !d.failedCapture(target):", "case state.CapturedMinor > captured:\n\t\td.voidProven(void, outcome)\n\tcase false:"},
		}},
		{"15", "a declined action is left open at its gateway", []edit{
			{settle, "case op.Kind == messages.OperationConfirm || op.Actionable:", "case false:"},
		}},
		{"17", "a fallback that does not know a token ends the payment", []edit{
			{later, "case \"invalid_request\", \"resource_missing\",", "case \"resource_missing\","},
		}},
		{"19", "an authorization lapses in the past", []edit{
			{settle, "if !before.After(d.env.Now) {", "if before.IsZero() {"},
		}},
	}
}
