package webhook

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed-384b1f8a/tender/messages"
)

// ErrUnavailable means that an event can't be read now and may be later: what it refers to could not be looked up.
var ErrUnavailable = errors.New("the event cannot be read now")

// Decoder reads the events of one kind of gateway. It is used concurrently.
type Decoder interface {
	// Verify reports whether the body was signed by the gateway, not too long ago. Its error goes to the log and must not
	// hold the body or a secret.
	Verify(header http.Header, body []byte) error

	// Decode says what a verified body means: the commands to publish, each with its tenant, its payment and a
	// *messages.Notify that has an event id and no gateway. None at all is an event that is none of Tender's business.
	//
	// An error that is ErrUnavailable makes the gateway send the event again; any other says that it makes no sense. Neither may hold
	// the body.
	Decode(ctx context.Context, body []byte) ([]messages.Command, error)
}
