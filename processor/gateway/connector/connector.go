package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Config says what is connected, and under which name.
type Config struct {
	// Name is the gateway's name on the bus: a-z, 0-9, - and _.
	Name string
	// Gateway does the work. It is called concurrently, and has to keep to the deadline of its context.
	Gateway gateway.Gateway
	// Version is this connector's own, as semantic versioning has it; "" is 0.0.0.
	Version string
	// Description and Metadata are shown by `nats micro info`.
	Description string
	Metadata    map[string]string
	// CallsMax bounds the calls under way in this instance; 0 is 256. What comes beyond is answered not_done at once, so that
	// the caller may try again, perhaps at another instance; nothing waits in line here.
	CallsMax int
	// CallTimeout bounds one call, also when the request's deadline is later or missing; 0 is 30 s.
	CallTimeout time.Duration
	// OnPanic hears of a panic in the gateway's code. Nil hears nothing.
	OnPanic func(value any, stack []byte)
	// OnError hears of answers that could not be sent, and of what the subscriptions report. Nil hears nothing.
	OnError func(err error)
	// Now is the clock that deadlines are held against; nil is time.Now.
	Now func() time.Time
}

// Connector is a running service. Stop it when it is no longer used, and before its connection is closed.
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

// restWhenFull is how long a caller is asked to leave an instance alone that has no place for it.
const restWhenFull = time.Second

// grace bounds what should take no time: a round trip to the server, and the end of a call that was canceled.
const grace = 5 * time.Second

// Start begins to answer. It fails when the configuration makes no sense or the connection takes no subscriptions. Set the
// connection's closed and error handlers before: those that are set later replace the ones a service relies on.
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

// complete fills in what is zero and names what makes no sense.
func (c *Config) complete(nc *nats.Conn) error {
	if c.Version == "" {
		c.Version = "0.0.0"
	}
	if c.CallsMax == 0 {
		c.CallsMax = 256
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 30 * time.Second
	}
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

// Info returns what `nats micro info` shows of this instance.
func (c *Connector) Info() micro.Info { return c.service.Info() }

// Stop takes no more requests, lets the calls under way finish and answers them. When ctx ends it cancels the calls that are still
// under way, gives them a moment to be answered as their gateway has it, and returns what ended ctx. The connection stays
// open. Stopping again does nothing.
func (c *Connector) Stop(ctx context.Context) error {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	defer c.cancel()
	// After the first flush the server delivers nothing more, and after the second the answers have left.
	err := errors.Join(c.service.Stop(), c.flush(ctx))
	err = errors.Join(err, c.finish(ctx), c.flush(context.WithoutCancel(ctx)))
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil // Nobody can be answered any more.
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

// finish waits until no call is under way. It takes every place for that and keeps it, so that no call begins again.
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

// operationOf reads a request, or says why it is none.
func operationOf(endpoint string, body []byte) (messages.Operation, error) {
	if len(body) > protocol.BodyBytesMax {
		return messages.Operation{}, fmt.Errorf("the body is longer than %d bytes", protocol.BodyBytesMax)
	}
	op, err := protocol.DecodeOperation(body)
	switch {
	case err != nil:
		return messages.Operation{}, err
	case op.ID == "":
		return messages.Operation{}, errors.New("operation_id is missing")
	case endpoint != protocol.EndpointLookup && string(op.Kind) != endpoint:
		return messages.Operation{}, fmt.Errorf("kind is %q on the subject of %s", op.Kind, endpoint)
	default:
		return op, nil
	}
}
