package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// TestNoRuleTakesThePayment holds that a payment without a way fails by name and calls no gateway.
func TestNoRuleTakesThePayment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	rules, err := routing.Parse([]byte("version: 1\nrules: [{name: usd, match: {currency: USD}, to: [{gateway: primary}]}]"), routing.SharedVault("primary"))
	if err != nil {
		t.Fatal(err)
	}
	s.worker(func(p *worker.Parts, _ *worker.Config) { p.Router = rules })
	id := newID()
	failed := s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentFailed).Data.(*messages.PaymentFailed)
	if failed.Code != messages.FailureNoGateway {
		t.Fatalf("%+v", failed)
	}
	if n := len(s.sim.Ledger()); n != 0 {
		t.Errorf("the gateway did %d things", n)
	}
	s.settled()
	s.verify()
}

// TestRulesSeeTheWholePayment routes by what a create says beside its amount.
func TestRulesSeeTheWholePayment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	rules, err := routing.Parse([]byte(`version: 1
rules:
  - name: web
    match: {tenant: acme, country: DE, metadata: {channel: web}, payment_method: pm_card_*, currency: EUR, amount_minor_min: 500, amount_minor_max: 500}
    to: [{gateway: second}]
  - name: rest
    to: [{gateway: primary}]
`), routing.SharedVault("primary", "second"))
	if err != nil {
		t.Fatal(err)
	}
	second := newSimulator(t)
	s.worker(func(p *worker.Parts, _ *worker.Config) {
		p.Gateways = behind(t, map[string]gateway.Gateway{"primary": s.sim, "second": second})
		p.Router = rules
	})
	web := &messages.Create{
		AmountMinor: 500, Currency: "EUR", PaymentMethod: "pm_card_visa", Country: "DE", Metadata: map[string]string{"channel": "web", "till": "1"},
	}
	app := *web
	app.Metadata = map[string]string{"channel": "app"}
	// A confirm after 3-D Secure stays with the gateway, and still knows the payment's facts.
	secure := *web
	secure.PaymentMethod = "pm_card_authenticationRequired"
	one, two, three := newID(), newID(), newID()
	s.expect(s.outcome(one, "web", web), messages.EventPaymentCaptured)
	s.expect(s.outcome(two, "app", &app), messages.EventPaymentCaptured)
	s.expect(s.outcome(three, "secure", &secure), messages.EventPaymentActionRequired)
	s.expect(s.outcome(three, "confirm", &messages.Confirm{}), messages.EventPaymentCaptured)
	for id, want := range map[uuid.UUID]string{one: "second web", two: "primary rest", three: "second web"} {
		r := routes(s.history(id))
		if got := s.get(id).Gateway + " " + r[0].Rule; len(r) != 1 || got != want {
			t.Errorf("routed as %s %+v, want %s", got, r, want)
		}
	}
	s.settled()
	s.verify()
}

// TestRulesAreReplacedWhilePaymentsFlow has two instances that follow the bucket while payments
// come in and the rules go back and forth, bad ones among them. No payment is without a way, and
// after a change both go the new one.
func TestRulesAreReplacedWhilePaymentsFlow(t *testing.T) {
	t.Parallel()
	const flowing = 150
	s := setup(t)
	if _, err := routing.EnsureBucket(t.Context(), s.js, routing.BucketOptions{}); err != nil {
		t.Fatal(err)
	}
	second := newSimulator(t)
	gateways := behind(t, map[string]gateway.Gateway{"primary": s.sim, "second": second})
	var instances []*routing.Live
	for range 2 {
		live := s.live(gateways)
		instances = append(instances, live)
		s.worker(func(p *worker.Parts, _ *worker.Config) { p.Gateways, p.Router = gateways, live })
	}

	ids := make([]uuid.UUID, flowing)
	var revision uint64
	rules := map[string]bool{routing.RuleDefault: true, "last": true}
	for i := range ids {
		ids[i] = newID()
		cmd := s.publish(ids[i], ids[i].String(), create("pm_card_visa"))
		if i%7 != 6 {
			continue
		}
		// However busy the machine is, the workers keep up with the changes.
		s.await(cmd)
		name, to := fmt.Sprintf("change-%d", i), []string{"second", "primary"}[i%2]
		if i%5 == 4 {
			to = "nowhere" // refused by both
		} else {
			rules[name] = true
		}
		revision = s.setRules(revision, fmt.Sprintf("version: 1\nrules: [{name: %s, to: [{gateway: %s}]}]", name, to))
	}
	revision = s.setRules(revision, "version: 1\nrules: [{name: last, to: [{gateway: second}]}]")
	for _, live := range instances {
		servers.Eventually(t, "both instances have the last rules", func() bool { return live.InForce().Revision == revision })
	}
	s.settled()
	for _, id := range ids {
		r := routes(s.history(id))
		if p := s.get(id); p.Status != messages.StatusCaptured || len(r) != 1 || !rules[r[0].Rule] {
			t.Errorf("payment %s is %s, routed %+v", id, p.Status, r)
		}
	}
	if charges(s.sim) == 0 || charges(second) == 0 {
		t.Error("the rules did not change while payments were routed: the test shows nothing")
	}
	before := charges(second)
	for i := range 20 {
		id := newID()
		s.expect(s.outcome(id, fmt.Sprint("after ", i), create("pm_card_visa")), messages.EventPaymentCaptured)
	}
	if n := charges(second) - before; n != 20 {
		t.Errorf("%d of 20 payments after the last change went its way", n)
	}
	if n := charges(s.sim) + charges(second); n != flowing+20 {
		t.Errorf("%d payments were charged, want %d", n, flowing+20)
	}
	s.verify()
}

// live follows the bucket until the test ends, and has looked at it.
func (s *system) live(gateways *gateway.Set) *routing.Live {
	s.t.Helper()
	live, err := routing.NewLive(routing.LiveConfig{Configured: routing.To("primary"), Gateways: routing.SharedVault(gateways.Names()...), Log: s.log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.run("routing", func(ctx context.Context) error {
		live.Watch(ctx, s.js)
		return nil
	})
	servers.Eventually(s.t, "the bucket was looked at", func() bool {
		select {
		case <-live.Looked():
			return true
		default:
			return false
		}
	})
	return live
}

func (s *system) setRules(revision uint64, document string) uint64 {
	s.t.Helper()
	stored, err := routing.Replace(s.t.Context(), s.js, []byte(document), revision)
	if err != nil {
		s.t.Fatal(errors.Join(err, fmt.Errorf("rules: %s", document)))
	}
	return stored
}

// askedRouter counts the questions to a router.
type askedRouter struct {
	worker.Router
	asked atomic.Int64
}

func (r *askedRouter) Route(f routing.Facts) payment.Route {
	r.asked.Add(1)
	return r.Router.Route(f)
}

// TestOnlyAnAuthorizationAsksTheRouter holds that a refund and a void need no way to a gateway.
func TestOnlyAnAuthorizationAsksTheRouter(t *testing.T) {
	t.Parallel()
	s := setup(t)
	router := &askedRouter{Router: routing.To("primary")}
	s.worker(func(p *worker.Parts, _ *worker.Config) { p.Router = router })
	id := newID()
	s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentCaptured)
	asked := router.asked.Load()
	if asked == 0 {
		t.Error("a create did not ask")
	}
	s.expect(s.outcome(id, "refund", &messages.Refund{}), messages.EventRefundSucceeded)
	if n := router.asked.Load(); n != asked {
		t.Errorf("a refund asked %d times", n-asked)
	}
}
