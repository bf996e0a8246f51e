package app

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/natsgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// gateways are the configured gateways, each behind its guard, and the router that leads to them.
type gateways struct {
	set    *gateway.Set
	router *routing.Live
	// feed carries the changes of their breakers to the reporter.
	feed   *status.Feed
	closes []func()
}

// openGateways makes the gateways and calls none of them yet. nc leads to the connectors. wrap, if
// not nil, may put a gateway between each one and its guard.
func openGateways(
	cfg config.Config, nc *nats.Conn, log *zap.Logger, answers func(gateway string),
	wrap func(name string, g gateway.Gateway) gateway.Gateway,
) (*gateways, error) {
	all := &gateways{feed: status.NewFeed(time.Now)}
	guards := make([]*gateway.Guard, 0, len(cfg.Gateways))
	for _, name := range slices.Sorted(maps.Keys(cfg.Gateways)) {
		settings := cfg.Gateways[name]
		g, err := all.open(name, settings, nc)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("gateway %s: %w", name, err)
		}
		if wrap != nil {
			g = wrap(name, g)
		}
		bounds := guardSettings(settings, log, all.feed)
		bounds.OnAvailable = func(name string) {
			log.Info("a gateway answers again", zap.String("gateway", name))
			answers(name)
		}
		bounds.QueueMax = max(cfg.Worker.SlotsMax/2, 1)
		guard, err := gateway.NewGuard(name, g, bounds)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("gateway %s: %w", name, err)
		}
		guards = append(guards, guard)
	}
	var err error
	if all.set, err = gateway.NewSet(guards...); err == nil {
		all.router, err = openRouting(cfg, log.Named("routing"))
	}
	if err != nil {
		all.close()
		return nil, err
	}
	return all, nil
}

// open makes one gateway of its kind.
func (all *gateways) open(name string, cfg config.Gateway, nc *nats.Conn) (gateway.Gateway, error) {
	switch cfg.Kind {
	case config.GatewayHTTP:
		g, err := httpgw.New(httpgw.Config{URL: cfg.URL.Reveal(), APIKey: cfg.APIKey.Reveal(), ConnectionsMax: cfg.ConcurrencyMax})
		if err != nil {
			return nil, err
		}
		all.closes = append(all.closes, g.Close)
		return g, nil
	case config.GatewayNATS:
		return natsgw.New(nc, cmp.Or(cfg.Connector, name))
	case config.GatewayStripe:
		g, err := stripegw.New(stripegw.Config{
			APIKey: cfg.APIKey.Reveal(), Account: cfg.Stripe.Account, ReturnURL: cfg.Stripe.ReturnURL,
			Multicapture: cfg.Stripe.Multicapture, URL: cfg.URL.Reveal(), ConnectionsMax: cfg.ConcurrencyMax,
		})
		if err != nil {
			return nil, err
		}
		all.closes = append(all.closes, g.Close)
		return g, nil
	case config.GatewaySim:
		s, err := sim.New(sim.Config{})
		if err != nil {
			return nil, err
		}
		all.closes = append(all.closes, func() { _ = s.Close() }) // without a journal it cannot fail
		return s, nil
	default:
		return nil, fmt.Errorf("kind %q was not validated", cfg.Kind)
	}
}

func (all *gateways) close() {
	for _, end := range all.closes {
		end()
	}
}

// guardSettings translates the bounds of one gateway.
func guardSettings(cfg config.Gateway, log *zap.Logger, feed *status.Feed) gateway.Settings {
	t, r, b := cfg.Timeouts, cfg.Retry, cfg.Breaker
	return gateway.Settings{
		Timeouts:       gateway.Timeouts{Authorize: t.Authorize, Capture: t.Capture, Void: t.Void, Refund: t.Refund, Lookup: t.Lookup},
		ConcurrencyMax: cfg.ConcurrencyMax,
		QueueWait:      cfg.QueueWait,
		Rate:           gateway.Rate{PerSecond: cfg.Rate.PerSecond, PerKind: cfg.Rate.PerKind, Burst: cfg.Rate.Burst},
		Retry:          gateway.Retry{TriesMax: r.TriesMax, Initial: r.Initial, Max: r.Max},
		Breaker: gateway.Breaker{
			FailureRatio: b.FailureRatio, RequestsMin: b.RequestsMin, Window: b.Window, OpenFor: b.OpenFor, ProbesMax: b.ProbesMax,
		},
		Credentials: credentials(cfg),
		OnStateChange: func(name string, from, to gateway.State) {
			feed.Changed(name, to)
			log.Warn("a gateway's breaker changed", zap.String("gateway", name),
				zap.String("from", string(from)), zap.String("to", string(to)))
		},
		OnPanic: func(name string, value any, stack []byte) {
			log.Error("a gateway panicked: the outcome is unknown", zap.String("gateway", name),
				zap.Any("panic", value), zap.ByteString("stack", stack))
		},
	}
}

// credentials identifies the credentials of a gateway's calls by a hash; "" where it has none.
// Gateways of the same kind and address with the same key share them.
func credentials(cfg config.Gateway) string {
	if cfg.APIKey == "" {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", cfg.Kind, cfg.URL.Reveal(), cfg.APIKey.Reveal()))
	return hex.EncodeToString(sum[:])
}

// reporter returns the reporter that publishes the state of this process's gateways.
func (p *Process) reporter() (*status.Reporter, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this instance: %w", err)
	}
	return status.NewReporter(p.nc, p.gateways.set, p.gateways.feed, status.Config{
		Instance: instanceName(host, os.Getpid()), Version: term.ThisBuild().Version, Now: time.Now,
	})
}

// instanceName tells a person where an instance runs. The random end tells apart instances in one
// process, and containers of one name in which each instance is process 1.
func instanceName(host string, pid int) string {
	const hostMax, suffixSize = 64, 4
	if len(host) > hostMax {
		host = host[:hostMax]
	}
	return status.InstanceName(fmt.Sprintf("%s-%d-%s", host, pid, strings.ToLower(rand.Text()[:suffixSize])))
}
