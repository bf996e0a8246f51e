package main

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// played is a step that was taken.
type played struct {
	step
	paymentID uuid.UUID
	command   messages.CommandName
	commandID string
	// sequence is the command's in its stream, duplicate that the stream had it already.
	sequence  uint64
	duplicate bool
	// unanswered says that no answer came in time.
	unanswered bool
}

// story is a scenario as it is played.
type story struct {
	scenario
	paymentID uuid.UUID
	// played are the steps that were taken so far.
	played []played
}

// cast gives every scenario its payments.
func cast(scenarios []scenario) ([]*story, error) {
	var stories []*story
	for _, sc := range scenarios {
		for range max(sc.times, 1) {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("make a payment id: %w", err)
			}
			stories = append(stories, &story{scenario: sc, paymentID: id})
		}
	}
	return stories, nil
}

// unanswered reports whether a command had no answer in time.
func (told *story) unanswered() bool {
	return slices.ContainsFunc(told.played, func(p played) bool { return p.unanswered })
}

// over reports whether nothing more comes after an act.
func (told *story) over(a act) bool {
	return len(told.played) == len(told.steps) && !told.parked(a)
}

// parked reports whether the last step that was taken waits for the act after this one.
func (told *story) parked(a act) bool {
	last := len(told.played) - 1
	return last >= 0 && told.played[last].parks && told.played[last].act == a
}

// in reports whether the story goes on in an act.
func (told *story) in(a act) bool {
	return told.parked(a-1) || len(told.played) < len(told.steps) && told.steps[len(told.played)].act == a
}

// outside reports whether a story goes beyond the first act.
func outside(stories []*story) bool {
	return slices.ContainsFunc(stories, func(told *story) bool {
		return slices.ContainsFunc(told.steps, func(st step) bool { return st.act != actUp })
	})
}

// command is what a step publishes through the client: under a message id of its own, unless the step is to repeat the
// message before it, and under the idempotency key that it may share with others.
func (told *story) command(st step) messages.Command {
	n := len(told.played) + 1
	if st.again {
		n--
		st.body, st.key = told.steps[n-1].body, told.steps[n-1].key
	}
	c := messages.Command{PaymentID: told.paymentID, ID: fmt.Sprintf("%s-%d", told.paymentID, n), Body: st.body}
	c.IdempotencyKey = c.ID
	if st.key != "" {
		c.IdempotencyKey = told.paymentID.String() + "-" + st.key
	}
	return c
}
