package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Decoder reads the events of one kind of gateway. It is used concurrently.
type Decoder interface {
	// Verify reports whether the body was signed by the gateway, not too long ago. Its error goes
	// to the log and must not hold the body or a secret.
	Verify(header http.Header, body []byte) error

	// Decode returns the commands that a verified body stands for, each with its tenant, its
	// payment and a *messages.Notify that has an event id and no gateway. It returns none for an
	// event that does not concern Tender.
	//
	// An error that is ErrUnavailable makes the gateway send the event again; one that is
	// ErrForeign says that the event belongs to others; any other, that the event is for a person
	// to look at. None may hold the body.
	Decode(ctx context.Context, body []byte) ([]messages.Command, error)
}

// PathPrefix is followed by the name of a gateway.
const PathPrefix = "/webhooks/"

// BodyBytesMax is the longest body that is read.
const BodyBytesMax = 256 << 10

// MaxAgeDefault is the greatest age of a signature.
const MaxAgeDefault = 5 * time.Minute

// The defaults of Config.
const (
	publishTimeoutDefault = 5 * time.Second
	requestsMaxDefault    = 256
)

// Result is the result of a request.
type Result string

// The results, for logs and metrics.
const (
	// ResultPublished: the event is on the bus.
	ResultPublished Result = "published"
	// ResultDuplicate: it was there before.
	ResultDuplicate Result = "duplicate"
	// ResultIgnored: it does not concern Tender.
	ResultIgnored Result = "ignored"
	// ResultKept: it could not become a command, and is a dead letter for a person to look at.
	ResultKept Result = "kept"
	// ResultForeign: it is about an account that is not configured.
	ResultForeign Result = "foreign"
	// ResultUnavailable: it could not be stored or read now; the gateway is to send it again.
	ResultUnavailable Result = "unavailable"
	// ResultRefused: the signature is missing, wrong or too old.
	ResultRefused Result = "refused"
	// ResultTooLarge: the body is too long.
	ResultTooLarge Result = "too_large"
	// ResultAborted: the body did not come to its end.
	ResultAborted Result = "aborted"
	// ResultBusy: too many requests were at work.
	ResultBusy Result = "busy"
	// ResultUnknownGateway: there is no such endpoint.
	ResultUnknownGateway Result = "unknown_gateway"
	// ResultMethod: it was no POST.
	ResultMethod Result = "method_not_allowed"
)

// Config bounds a Handler. The zero value is good for production.
type Config struct {
	// PublishTimeout is the longest wait for JetStream to store an event; 0 is 5 s. Providers give
	// up after 10 s and more.
	PublishTimeout time.Duration
	// RequestsMax is the limit on requests that are worked on at once; the others are told to come
	// again. 0 is 256.
	RequestsMax int
	// Observe hears of every request, with the gateway's name, "" for one that does not exist; may
	// be nil.
	Observe func(gateway string, r Result)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Handler serves the endpoints. It may be used concurrently.
type Handler struct {
	bus      jetstream.Publisher
	decoders map[string]Decoder
	config   Config
	places   chan struct{}
	log      *zap.Logger
}

// NewHandler returns a handler with one endpoint for each gateway, by name. It fails for a name
// that cannot stand in a path.
func NewHandler(bus jetstream.Publisher, decoders map[string]Decoder, c Config, log *zap.Logger) (*Handler, error) {
	for name := range decoders {
		if name == "" || strings.ContainsAny(name, "/?#% ") {
			return nil, fmt.Errorf("gateway %q cannot have a webhook: its name cannot be part of a path", name)
		}
	}
	if c.PublishTimeout < 0 || c.RequestsMax < 0 {
		return nil, errors.New("a bound of the webhooks is negative")
	}
	c.PublishTimeout = cmp.Or(c.PublishTimeout, publishTimeoutDefault)
	c.RequestsMax = cmp.Or(c.RequestsMax, requestsMaxDefault)
	if c.Observe == nil {
		c.Observe = func(string, Result) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Handler{
		bus: bus, decoders: maps.Clone(decoders), config: c, places: make(chan struct{}, c.RequestsMax), log: log,
	}, nil
}

// ServeHTTP implements http.Handler. The answer has no body: it is for a machine, and a forger of
// events shall learn nothing.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, under := strings.CutPrefix(r.URL.Path, PathPrefix)
	decoder, known := h.decoders[name]
	if !under || !known {
		h.config.Observe("", ResultUnknownGateway)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	result := h.serve(w, r, name, decoder)
	h.config.Observe(name, result)
	switch result {
	case ResultMethod:
		w.Header().Set("Allow", http.MethodPost)
	case ResultBusy, ResultUnavailable:
		w.Header().Set("Retry-After", "1")
	default:
	}
	w.WriteHeader(result.status())
}

// status returns the status that answers a result.
func (r Result) status() int {
	switch r {
	case ResultPublished, ResultDuplicate, ResultIgnored, ResultKept, ResultForeign:
		return http.StatusOK
	case ResultUnavailable, ResultBusy:
		return http.StatusServiceUnavailable
	case ResultTooLarge:
		return http.StatusRequestEntityTooLarge
	case ResultMethod:
		return http.StatusMethodNotAllowed
	case ResultUnknownGateway:
		return http.StatusNotFound
	case ResultRefused, ResultAborted:
		return http.StatusBadRequest
	default:
		panic("no status for result " + string(r))
	}
}

// serve takes one request from its arrival to its result.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, name string, decoder Decoder) Result {
	if r.Method != http.MethodPost {
		return ResultMethod
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return ResultBusy
	}
	log := h.log.With(zap.String("gateway", name), zap.String("remote", r.RemoteAddr))
	body, result := read(w, r)
	if result != "" {
		log.Warn("a webhook's body was not read", zap.String("result", string(result)))
		return result
	}
	if err := decoder.Verify(r.Header, body); err != nil {
		log.Warn("a webhook was refused", zap.Int("bytes", len(body)), zap.Error(err))
		return ResultRefused
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.PublishTimeout)
	defer cancel()
	commands, err := decoder.Decode(ctx, body)
	switch {
	case errors.Is(err, ErrUnavailable):
		log.Warn("cannot read a webhook now; the gateway is to send it again", shown(err))
		return ResultUnavailable
	case errors.Is(err, ErrForeign):
		log.Warn("a webhook is about an account that is not configured: check where the gateway sends its events", shown(err))
		return ResultForeign
	case err != nil:
		return h.keep(ctx, log, name, body, err)
	case len(commands) == 0:
		log.Debug("a webhook is about nothing of Tender's")
		return ResultIgnored
	}
	return h.publish(ctx, log, event{gateway: name, body: body, commands: commands})
}

// shown is an error that may quote a body: short, printable and without card numbers.
func shown(err error) zap.Field {
	return zap.String("error", shownText(err))
}

func shownText(err error) string {
	return string(messages.MaskCardNumbers([]byte(protocol.Shown(err.Error()))))
}

// read reads the body, or returns the result for one that cannot be read.
func read(w http.ResponseWriter, r *http.Request) ([]byte, Result) {
	if r.ContentLength > BodyBytesMax {
		return nil, ResultTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, BodyBytesMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, ResultTooLarge
	case err != nil:
		return nil, ResultAborted
	}
	return body, ""
}

// event is a signed event with the commands that it stands for.
type event struct {
	gateway  string
	body     []byte
	commands []messages.Command
}

// keep makes a dead letter of a signed event that cannot become a command: the gateway forgets it
// with the answer, and to be told again would not help. The letter of an event that comes again is
// the same, within the stream's window for duplicates.
func (h *Handler) keep(ctx context.Context, log *zap.Logger, name string, body []byte, why error) Result {
	cause := deadletter.Cause{Detail: shownText(why), At: h.config.Now()}
	if err := deadletter.Publish(ctx, h.bus, deadletter.OfWebhook(name, withoutSecrets(body), cause)); err != nil {
		log.Warn("a webhook that cannot become a command could not be kept: the gateway is to send it again", shown(why), zap.NamedError("cause", err))
		return ResultUnavailable
	}
	if errors.Is(why, ErrUnplaced) {
		log.Warn("a webhook is of no kind that Tender knows; it is kept as a dead letter", shown(why))
	} else {
		log.Error("a signed webhook cannot become a command; it is kept as a dead letter", shown(why))
	}
	return ResultKept
}

// clientSecret is a value with which a browser acts on a payment.
var clientSecret = regexp.MustCompile(`("client_secret"\s*:\s*")[^"]*`)

func withoutSecrets(body []byte) []byte {
	return clientSecret.ReplaceAll(body, []byte("${1}(secret)"))
}

// publish puts the commands of one event on the bus, all of them or as many as go: JetStream knows
// the published ones when the event comes again.
func (h *Handler) publish(ctx context.Context, log *zap.Logger, e event) Result {
	msgs := make([]*nats.Msg, 0, len(e.commands))
	for _, cmd := range e.commands {
		msg, err := h.message(e.gateway, cmd)
		if err != nil {
			return h.keep(ctx, log.With(zap.Stringer("payment_id", cmd.PaymentID)), e.gateway, e.body, err)
		}
		msgs = append(msgs, msg)
	}
	result := ResultDuplicate
	for _, msg := range msgs {
		stored, err := h.bus.PublishMsg(ctx, msg)
		if err != nil {
			log.Warn("a webhook could not be stored: the gateway is to send it again", zap.String("subject", msg.Subject), zap.Error(err))
			return ResultUnavailable
		}
		if !stored.Duplicate {
			result = ResultPublished
		}
	}
	log.Debug("a webhook is on the bus", zap.String("subject", msgs[0].Subject),
		zap.String("key", msgs[0].Header.Get(messages.HeaderIdempotencyKey)), zap.String("result", string(result)))
	return result
}

// message is a command ready for the bus. It is decoded again as the workers will do it: a command
// that they would refuse is none.
func (h *Handler) message(name string, cmd messages.Command) (*nats.Msg, error) {
	notify, ok := cmd.Body.(*messages.Notify)
	if !ok {
		return nil, fmt.Errorf("a webhook is no %T", cmd.Body)
	}
	// The endpoint names the gateway; the event does not.
	named := *notify
	named.Gateway = name
	if err := gateway.CleanNotify(&named, h.config.Now()); err != nil {
		return nil, err
	}
	cmd.Body, cmd.ID, cmd.IdempotencyKey = &named, name+":"+notify.EventID, name+":"+notify.EventID
	subject, header, body, err := messages.EncodeCommand(cmd, messages.Origin{Source: "tender/webhook", Time: h.config.Now()})
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subject, Header: make(nats.Header, len(header)), Data: body}
	for key, value := range header {
		msg.Header.Set(key, value)
	}
	if _, err := messages.DecodeCommand(subject, msg.Header, body); err != nil {
		return nil, err
	}
	return msg, nil
}

// ErrForeign means that an event is about an account that is not the configured one, such as a
// connected account at Stripe.
var ErrForeign = errors.New("the event is about another account")

// ErrUnplaced means that an event is of no kind that Tender knows: its type is unknown or missing.
var ErrUnplaced = errors.New("the event is of no known kind")

// ErrUnavailable means that an event cannot be read now but perhaps later: an object that it
// refers to could not be looked up.
var ErrUnavailable = errors.New("the event cannot be read now")

// The bounds of a connection. A whole exchange fits into the 10 s and more that providers wait.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 20 * time.Second
	idleTimeout       = time.Minute
	headerBytesMax    = 16 << 10
)

// Serve answers on the listener until ctx is done, then takes no more connections, finishes open
// requests for at most grace, and returns. It returns nil after such an end.
func Serve(ctx context.Context, listener net.Listener, h *Handler, grace time.Duration) error {
	complaints, err := zap.NewStdLogAt(h.log, zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("serve webhooks: %w", err)
	}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
		ErrorLog: complaints,
		// Requests are finished after the end of ctx, too.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve webhooks: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err = server.Shutdown(ending); err != nil {
		// Nothing is lost: the gateway sends an event again that got no answer.
		h.log.Warn("webhooks were cut short", zap.Error(err))
		err = server.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve webhooks: %w", ended))
	}
	return err
}
