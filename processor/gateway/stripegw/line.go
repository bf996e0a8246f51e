package stripegw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
)

// bodyBytesMax is the longest answer that is read. A PaymentIntent with its charge has some ten
// thousand bytes; a page of a hundred with all the metadata that they can hold, four million.
const bodyBytesMax = 4 << 20

// line carries the requests of stripe-go. It makes exactly one exchange of each, and lets only
// answers of Stripe's API through: 200 with the object that was asked for, or 400 and above with a
// typed error. All else comes out as a *[wire.ExchangeError] or a *strangeError.
type line struct {
	transport http.RoundTripper
	account   string
}

// strangeError says that an answer is not Stripe's.
type strangeError struct {
	status     int
	retryAfter time.Duration
}

func (e *strangeError) Error() string {
	return fmt.Sprintf("answered %d, which is not of Stripe's API", e.status)
}

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	request, err := l.request(r)
	if err != nil {
		return nil, err
	}
	reply, err := wire.Send(l.transport, request, bodyBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
	}
	if !proper(r, reply) {
		return nil, &strangeError{status: reply.Status, retryAfter: wire.RetryAfter(reply.Header)}
	}
	return &http.Response{
		Status: http.StatusText(reply.Status), StatusCode: reply.Status, Header: reply.Header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)),
	}, nil
}

// request copies a request of stripe-go's for one exchange. The copy has no GetBody, so that
// net/http does not send it again: the Idempotency-Key header would otherwise be leave to do so.
func (l *line) request(r *http.Request) (*http.Request, error) {
	request := r.Clone(r.Context())
	request.GetBody = nil
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if len(body) == 0 && r.Method == http.MethodGet {
			// Not for a POST: one without a body may be sent again.
			request.Body = http.NoBody
		}
	}
	// stripe-go adds facts about the machine, and about tools that it finds in the environment.
	request.Header.Del("X-Stripe-Client-User-Agent")
	request.Header.Set("User-Agent", "Stripe/v1 GoBindings/"+stripe.ClientVersion+" tender")
	if l.account != "" {
		request.Header.Set("Stripe-Account", l.account)
	}
	return request, nil
}

// proper reports whether a reply is an answer of Stripe's API to the request.
func proper(request *http.Request, r wire.Reply) bool {
	var body struct {
		Object string `json:"object"`
		Error  *struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		return false
	}
	if r.Status == http.StatusOK {
		return body.Object == objectAt(request)
	}
	return r.Status >= http.StatusBadRequest && body.Error != nil && body.Error.Type != ""
}

// objectAt returns the type of the object that answers a request. An empty answer of another type
// could pass for an empty list.
func objectAt(request *http.Request) string {
	switch path := request.URL.Path; {
	case request.Method == http.MethodGet && (strings.HasSuffix(path, "/refunds") || strings.HasSuffix(path, "/payment_intents")):
		return "list"
	case strings.HasSuffix(path, "/refunds"):
		return "refund"
	default:
		return "payment_intent"
	}
}
