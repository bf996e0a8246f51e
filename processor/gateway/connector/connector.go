package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Config names the gateway that is connected, and tunes the service.
type Config struct {
	// Name is the gateway's name on the bus: a-z, 0-9, - and _.
	Name string
	// Gateway does the work. It is called concurrently, and has to keep to the deadline of its
	// context.
	Gateway gateway.Gateway
	// Version is this connector's own, as semantic versioning has it; "" is 0.0.0.
	Version string
	// Description and Metadata are shown by `nats micro info`.
	Description string
	Metadata    map[string]string
	// CallsMax bounds the calls under way in this instance; 0 is 256. A request beyond it is
	// answered not_done at once, so that the caller may try again, perhaps at another instance;
	// there is no queue here.
	CallsMax int
	// CallTimeout bounds one call, also when the request's deadline is later or missing; 0 is 30 s.
	CallTimeout time.Duration
	// OnPanic hears of a panic in the gateway's code. Nil hears nothing.
	OnPanic func(value any, stack []byte)
	// OnError hears of answers that could not be sent, and of errors of the subscriptions. Nil
	// hears nothing.
	OnError func(err error)
	// Now is the clock that deadlines are held against; nil is time.Now.
	Now func() time.Time
}

// Connector is a running service. Stop it when it is no longer used, and before its connection is
// closed.
type Connector struct {
	config  Config
	nc      *nats.Conn
	service micro.Service
	// calls is the context of every call; cancel ends them.
	calls  context.Context //nolint:containedctx // the calls are begun by messages, which bring none
	cancel context.CancelFunc
	// places holds one token for each call under way. Stop takes them all and keeps them.
	places chan struct{}
	stats  map[string]*counts

	stopping sync.Mutex
	stopped  bool
}

// restWhenFull is the rest that an instance without a free place asks for.
const restWhenFull = time.Second

// grace is the timeout of steps that should take no time: a round trip to the server, and the end
// of a call that was canceled.
const grace = 5 * time.Second

// Start begins to answer. It fails when the configuration makes no sense or the connection takes no
// subscriptions. Set the connection's closed and error handlers before: those that are set later
// replace the ones a service relies on.
func Start(nc *nats.Conn, c Config) (*Connector, error) {
	if err := c.complete(nc); err != nil {
		return nil, fmt.Errorf("start connector: %w", err)
	}
	calls, cancel := context.WithCancel(context.Background())
	connector := &Connector{
		config: c, nc: nc, calls: calls, cancel: cancel, places: make(chan struct{}, c.CallsMax), stats: make(map[string]*counts),
	}
	for _, endpoint := range protocol.Endpoints() {
		connector.stats[endpoint] = new(counts)
	}
	if err := connector.serve(); err != nil {
		cancel()
		return nil, fmt.Errorf("start connector %s: %w", c.Name, err)
	}
	return connector, nil
}

// complete fills in the fields that are zero, and fails for a value that makes no sense.
func (c *Config) complete(nc *nats.Conn) error {
	c.Version = cmp.Or(c.Version, "0.0.0")
	c.CallsMax = cmp.Or(c.CallsMax, 256)
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case nc == nil:
		return errors.New("there is no connection to NATS")
	case c.Gateway == nil:
		return fmt.Errorf("%s has no gateway", c.Name)
	case c.CallsMax < 0 || c.CallTimeout < 0:
		return fmt.Errorf("a bound of %s is negative", c.Name)
	}
	return protocol.ValidateName(c.Name)
}

// serve registers the service and its endpoints.
func (c *Connector) serve() error {
	metadata := map[string]string{"gateway": c.config.Name, "protocol": "1"}
	maps.Copy(metadata, c.config.Metadata)
	service, err := micro.AddService(c.nc, micro.Config{
		Name: protocol.ServiceName(c.config.Name), Version: c.config.Version, Description: c.config.Description,
		Metadata: metadata, QueueGroup: protocol.ServiceName(c.config.Name),
		StatsHandler: func(e *micro.Endpoint) any { return c.stats[e.Name].snapshot() },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) { c.report(err) },
	})
	if err != nil {
		return fmt.Errorf("add service: %w", err)
	}
	c.service = service
	for _, endpoint := range protocol.Endpoints() {
		err := service.AddEndpoint(endpoint, c.taker(endpoint),
			micro.WithEndpointSubject(protocol.Subject(c.config.Name, endpoint)),
			micro.WithEndpointMetadata(map[string]string{"request": "application/json", "asks_for": asksFor(endpoint)}))
		if err != nil {
			return errors.Join(fmt.Errorf("add endpoint %s: %w", endpoint, err), service.Stop())
		}
	}
	// The server has the subscriptions before Start returns, so that the first request finds them.
	if err := c.flush(context.Background()); err != nil {
		return errors.Join(fmt.Errorf("subscribe: %w", err), service.Stop())
	}
	return nil
}

func asksFor(endpoint string) string {
	if endpoint == protocol.EndpointLookup {
		return "what became of an operation"
	}
	return "an operation of kind " + endpoint
}

// Info returns this instance as `nats micro info` shows it.
func (c *Connector) Info() micro.Info { return c.service.Info() }

// Stop takes no more requests, lets the calls under way finish and answers them. When ctx ends it
// cancels the calls that are still under way, gives them a moment to be answered as their gateway
// has it, and returns the cause of ctx's end. The connection stays open. Stopping again does
// nothing.
func (c *Connector) Stop(ctx context.Context) error {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	defer c.cancel()
	// After the first flush the server delivers nothing more, and after the second the answers have
	// left.
	err := errors.Join(c.service.Stop(), c.flush(ctx))
	err = errors.Join(err, c.finish(ctx), c.flush(context.WithoutCancel(ctx)))
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil // No caller can be answered any more.
	}
	if err != nil {
		return fmt.Errorf("stop connector %s: %w", c.config.Name, err)
	}
	return nil
}

// flush waits until the server has taken everything that was sent.
func (c *Connector) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// finish waits until no call is under way. It takes every place for that and keeps it, so that no
// call begins again.
func (c *Connector) finish(ctx context.Context) error {
	taken := 0
	for taken < cap(c.places) && ctx.Err() == nil {
		select {
		case c.places <- struct{}{}:
			taken++
		case <-ctx.Done():
		}
	}
	if taken == cap(c.places) {
		return nil
	}
	c.cancel()
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for ; taken < cap(c.places); taken++ {
		select {
		case c.places <- struct{}{}:
		case <-limit.C:
			return fmt.Errorf("%d calls did not end when they were canceled: %w", cap(c.places)-taken, context.Cause(ctx))
		}
	}
	return fmt.Errorf("canceled what was under way: %w", context.Cause(ctx))
}

func (c *Connector) report(err error) {
	if c.config.OnError != nil {
		c.config.OnError(err)
	}
}

// operationOf reads a request, or returns the problem with it. What lacks a required field never
// reaches the gateway, which would read zeros.
func operationOf(endpoint string, body []byte) (messages.Operation, error) {
	if len(body) > protocol.BodyBytesMax {
		return messages.Operation{}, fmt.Errorf("the body is longer than %d bytes", protocol.BodyBytesMax)
	}
	op, err := protocol.DecodeOperation(body)
	switch {
	case err != nil:
		return messages.Operation{}, err
	case endpoint == protocol.EndpointLookup:
		return op, protocol.KeyOf(op).Check()
	case string(op.Kind) != endpoint:
		return messages.Operation{}, fmt.Errorf("kind is %q on the subject of %s", op.Kind, endpoint)
	default:
		return op, protocol.CheckOperation(op)
	}
}

// taker takes the requests of one endpoint. It is called for one after the other and must not
// block: a request that gets a place is called in a goroutine of its own, and one that cannot be
// called is refused here.
func (c *Connector) taker(endpoint string) micro.Handler {
	stats := c.stats[endpoint]
	return micro.HandlerFunc(func(request micro.Request) {
		op, err := operationOf(endpoint, request.Data())
		if err != nil {
			c.refuse(request, stats, protocol.Problem{Code: protocol.CodeInvalidRequest, Message: protocol.Shown(err.Error())}, 0)
			return
		}
		remaining, err := c.remaining(request.Headers().Get(protocol.HeaderDeadline))
		if err != nil {
			c.refuse(request, stats, protocol.Problem{Code: protocol.CodeNotDone, Message: protocol.Shown(err.Error())}, 0)
			return
		}
		select {
		case c.places <- struct{}{}:
		default:
			full := protocol.Problem{Code: protocol.CodeNotDone, Message: fmt.Sprintf("all %d places of this connector are taken", cap(c.places))}
			c.refuse(request, stats, full, restWhenFull)
			return
		}
		go func() {
			defer func() { <-c.places }()
			c.call(endpoint, op, remaining, request.Reply())
		}()
	})
}

// remaining returns the time for which the caller still waits.
func (c *Connector) remaining(header string) (time.Duration, error) {
	deadline, err := protocol.ParseDeadline(header)
	if err != nil {
		return 0, err
	}
	if deadline.IsZero() {
		return c.config.CallTimeout, nil
	}
	now := c.config.Now()
	if !deadline.After(now) {
		return 0, fmt.Errorf("the caller waited until %s, and here it is %s",
			protocol.FormatDeadline(deadline), protocol.FormatDeadline(now))
	}
	return min(deadline.Sub(now), c.config.CallTimeout), nil
}

// refuse answers a request that is not handed to the gateway.
func (c *Connector) refuse(request micro.Request, stats *counts, p protocol.Problem, rest time.Duration) {
	stats.refused.Add(1)
	status, _ := p.Code.Status()
	headers := micro.Headers{}
	if seconds := protocol.FormatRetryAfter(rest); seconds != "" {
		headers[protocol.HeaderRetryAfter] = []string{seconds}
	}
	if err := request.Error(strconv.Itoa(status), string(p.Code), protocol.EncodeProblem(p), micro.WithHeaders(headers)); err != nil {
		c.report(fmt.Errorf("refuse a request on %s: %w", request.Subject(), err))
	}
}

// call hands one operation to the gateway and passes its answer on.
func (c *Connector) call(endpoint string, op messages.Operation, remaining time.Duration, replyTo string) {
	stats := c.stats[endpoint]
	stats.underWay.Add(1)
	began := c.config.Now()
	e := protocol.Exchange{OperationID: op.ID, Lookup: endpoint == protocol.EndpointLookup}
	o := c.ask(e.Lookup, op, remaining)
	stats.finished(o.Kind, c.config.Now().Sub(began))
	if err := c.answer(replyTo, e.Encode(o)); err != nil {
		c.report(fmt.Errorf("answer operation %s: %w", op.ID, err))
	}
}

// ask calls the gateway.
func (c *Connector) ask(lookup bool, op messages.Operation, remaining time.Duration) (o messages.Outcome) {
	ctx, cancel := context.WithTimeout(c.calls, remaining)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			if c.config.OnPanic != nil {
				c.config.OnPanic(value, debug.Stack())
			}
			// The value may hold anything, so that only its type is told.
			o = messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("the connector's gateway panicked with a %T", value)}
		}
	}()
	if lookup {
		return c.config.Gateway.Lookup(ctx, op)
	}
	return c.config.Gateway.Do(ctx, op)
}

// answer publishes a reply. It goes past micro.Request, whose record of the answer belongs to the
// goroutine of the subscription; the headers are the ones that micro uses.
func (c *Connector) answer(replyTo string, r protocol.Reply) error {
	reply := nats.NewMsg(replyTo)
	reply.Data = r.Body
	if !r.IsAnswer() {
		if p, err := protocol.DecodeProblem(r.Body); err == nil {
			reply.Header.Set(micro.ErrorHeader, string(p.Code))
			reply.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(r.Status))
		}
	}
	if seconds := protocol.FormatRetryAfter(r.RetryAfter); seconds != "" {
		reply.Header.Set(protocol.HeaderRetryAfter, seconds)
	}
	if err := c.nc.PublishMsg(reply); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// counts are the counters of one endpoint since it was started.
type counts struct {
	underWay, answered, inDoubt, notDone, refused atomic.Int64
	took                                          atomic.Int64 // nanoseconds, over all finished calls
}

func (s *counts) finished(kind messages.OutcomeKind, took time.Duration) {
	s.underWay.Add(-1)
	s.took.Add(int64(took))
	switch kind {
	case messages.OutcomeUnknown:
		s.inDoubt.Add(1)
	case messages.OutcomeNotSent:
		s.notDone.Add(1)
	default:
		s.answered.Add(1)
	}
}

// Stats are the counts of an endpoint since it was started; `nats micro stats --json` shows it as
// the endpoint's data. The times that NATS itself shows are those of taking a request in, not of
// the gateway.
type Stats struct {
	// UnderWay counts the calls that the gateway has not answered yet.
	UnderWay int64 `json:"under_way"`
	// Answered, InDoubt and NotDone count the calls by the gateway's proof: of the operation's
	// outcome, of nothing, or of having done nothing.
	Answered int64 `json:"answered"`
	InDoubt  int64 `json:"in_doubt"`
	NotDone  int64 `json:"not_done"`
	// Refused counts the requests that were not handed to the gateway.
	Refused int64 `json:"refused"`
	// AverageMillis is the average time that the gateway took.
	AverageMillis int64 `json:"average_ms"`
}

func (s *counts) snapshot() Stats {
	stats := Stats{
		UnderWay: s.underWay.Load(), Answered: s.answered.Load(), InDoubt: s.inDoubt.Load(), NotDone: s.notDone.Load(),
		Refused: s.refused.Load(),
	}
	if calls := stats.Answered + stats.InDoubt + stats.NotDone; calls > 0 {
		stats.AverageMillis = time.Duration(s.took.Load() / calls).Milliseconds()
	}
	return stats
}
