package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// Reply is an answer, read to its end.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// ErrTooLong is the cause of an [ExchangeError] whose answer was longer than its reader wants.
var ErrTooLong = errors.New("the answer is too long")

// ExchangeError says that an exchange brought no answer.
type ExchangeError struct {
	// Sent says that the request may have reached the gateway. False is proof that it did not.
	Sent bool
	// Late says that the caller's time was over.
	Late bool
	Err  error
}

// Error implements error.
func (e *ExchangeError) Error() string {
	stage := "no connection"
	if e.Sent {
		stage = "no answer"
	}
	if e.Late {
		stage += " in time"
	}
	return stage + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ExchangeError) Unwrap() error { return e.Err }

// Send makes one exchange and reads at most bodyBytesMax of the answer. Its error is a
// *[ExchangeError]. It follows no redirects and keeps no cookies.
//
// A request that must not be made twice needs a body that can be read only once, with GetBody nil:
// net/http sends a request again by itself, on another connection, when a pooled one turns out dead
// and the request is a GET or has an Idempotency-Key header and a body that can be had again.
func Send(transport http.RoundTripper, request *http.Request, bodyBytesMax int) (Reply, error) {
	var connected atomic.Bool
	ctx := request.Context()
	request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	// The transport itself rather than an http.Client: no redirects, no cookies.
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Reply{}, &ExchangeError{Sent: connected.Load(), Late: ctx.Err() != nil, Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(bodyBytesMax)+1))
	if err == nil && len(body) > bodyBytesMax {
		err = fmt.Errorf("%w: over %d bytes", ErrTooLong, bodyBytesMax)
	}
	if err != nil {
		return Reply{}, &ExchangeError{Sent: true, Late: ctx.Err() != nil, Err: fmt.Errorf("read answer with status %d: %w", response.StatusCode, err)}
	}
	return Reply{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}

// retryAfterMax is the longest rest a server is believed to want.
const retryAfterMax = 24 * time.Hour

// RetryAfter reads the header of that name in whole seconds; 0 if it is not there or has another
// form. It is at most a day.
func RetryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, retryAfterMax)
}
