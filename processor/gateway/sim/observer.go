package sim

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Record is one settled answer with its effect, if it has one. The state of a simulator is the
// fold of its records. Its JSON is a line of the journal that package lab/simulator keeps.
type Record struct {
	Operation messages.Operation `json:"operation"`
	Answer    protocol.Answer    `json:"answer"`
	Entry     *Entry             `json:"entry,omitempty"`
}

// Manner holds a payment method's demands on telling about a record. The zero value has none.
type Manner struct {
	// Twice asks for the same event a second time, Reordered for an older event, of type pending,
	// behind it.
	Twice, Reordered bool
	// Disputed asks for a dispute about a capture, a moment later.
	Disputed bool
}

// Observer connects a simulator with a package that stores its records and tells others of them.
// Both functions are called for one record after the other, in order, while the simulator is
// locked: they must not call it. The zero value does neither.
type Observer struct {
	// Record stores a record. It is called before the record takes effect and before its answer is
	// given. An error refuses the record; from then on the simulator does nothing, and answers
	// every request with unavailable and the text of that error.
	Record func(Record) error
	// Tell passes a record on after it has taken effect. It must not block. The channel that it
	// returns is closed once the receiver has the event, and is nil if the event is not sent;
	// sim_webhook_first waits for it.
	//
	// A simulator with Tell also acts after an answer: a pending refund succeeds, and the captures
	// and refunds of some payment methods are reversed, each as a record of its own. Without Tell
	// the caller could not learn of that.
	Tell func(Record, Manner) <-chan struct{}
	// Lead is the time that sim_webhook_first lets pass between the closing of Tell's channel and
	// its answer.
	Lead time.Duration
	// Moment is the time between a success and the effect that follows from it.
	Moment time.Duration
}
