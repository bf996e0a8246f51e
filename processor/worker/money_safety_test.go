package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store/books"
	"github.com/seed-384b1f8a/tender/processor/webhook"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// payments is how many payments the money-safety test makes, with about four commands each.
const payments = 700

// TestMoneyIsSafe sends payments with every fault of the simulators mixed in, commands doubled, out
// of order and at once, to three workers of which two are cut short in the middle of their calls
// and replaced, over two gateways with failover and webhooks. Then the simulators' own books are
// held against Tender's: nothing charged twice, nothing charged without a record, nothing recorded
// that was not charged, and the invariants clean.
//
// Which commands are sent follows from the seed, which a failure prints: TENDER_MONEY_SEED replays
// it.
func TestMoneyIsSafe(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("TENDER_MONEY_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with TENDER_MONEY_SEED=%d", seed)
		}
	})
	m := newMoneyTest(t, seed)
	stops := []func(){m.start(), m.start(), m.start()}
	commands := m.plan()
	for i := range 3 {
		part := commands[i*len(commands)/3 : (i+1)*len(commands)/3]
		m.publishAll(part)
		if i < 2 {
			stops[i]() // cut short in the middle of its calls
			m.start()
		}
	}
	m.atRest()
	m.booksAgree()
	m.verify()
	m.compareBus()
}

// moneyTest is a system with two gateways and the order of the day.
type moneyTest struct {
	*system
	random   *rand.Rand
	sims     map[string]*simulator.Simulator
	gateways map[string]gateway.Gateway
}

func newMoneyTest(t *testing.T, seed uint64) *moneyTest {
	s := setup(t, func(s *system) {
		s.cfg.SlotsMax, s.cfg.Patience = 256, 2*time.Second
		s.cfg.Policy.SentStale = 2 * time.Second
		s.cfg.Policy.UnknownReplays = []time.Duration{
			50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond,
			800 * time.Millisecond, 1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond,
		}
		s.cfg.Policy.UnknownLookups = []time.Duration{7 * time.Second, 8 * time.Second}
		s.cfg.Policy.NotSentGiveUp = time.Minute
	})
	m := &moneyTest{
		system: s, random: rand.New(rand.NewPCG(seed, seed)),
		sims: map[string]*simulator.Simulator{}, gateways: map[string]gateway.Gateway{},
	}
	webhooks := m.listen("primary", "second")
	for _, name := range []string{"primary", "second"} {
		bank, err := simulator.New(simulator.Config{
			Config: sim.Config{Hang: 600 * time.Millisecond},
			Webhook: simulator.Webhook{
				URL: webhooks + webhook.PathPrefix + name, Secret: webhookSecret, Pause: 20 * time.Millisecond,
				Lead: 50 * time.Millisecond, Moment: 300 * time.Millisecond,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(bank.Handler(""))
		client, err := httpgw.New(httpgw.Config{URL: server.URL, ConnectionsMax: 256})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			client.Close()
			_ = bank.Close()
			server.Close()
		})
		m.sims[name], m.gateways[name] = bank, sim.NewDialErrors(client)
	}
	return m
}

const webhookSecret = "whsec_test"

// listen serves the webhooks of the gateways, and returns the address.
func (m *moneyTest) listen(names ...string) string {
	m.t.Helper()
	decoders := map[string]webhook.Decoder{}
	for _, name := range names {
		decoder, err := webhook.NewProtocol([]string{webhookSecret}, time.Hour, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		decoders[name] = decoder
	}
	handler, err := webhook.NewHandler(m.js, decoders, webhook.Config{}, m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	m.t.Cleanup(server.Close)
	return server.URL
}

// start starts a worker that will be cut short when it is stopped.
func (m *moneyTest) start() (stop func()) {
	var guards []*gateway.Guard
	for name, g := range m.gateways {
		guard, err := gateway.NewGuard(name, g, gateway.Settings{
			Timeouts: gateway.Timeouts{
				Authorize: 400 * time.Millisecond, Capture: 400 * time.Millisecond, Void: 400 * time.Millisecond,
				Refund: 400 * time.Millisecond, Lookup: 400 * time.Millisecond,
			},
			Retry:   gateway.Retry{TriesMax: 2, Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Total: 100 * time.Millisecond},
			Breaker: gateway.Breaker{RequestsMin: 50, FailureRatio: 0.9, OpenFor: 200 * time.Millisecond},
		})
		if err != nil {
			m.t.Fatal(err)
		}
		guards = append(guards, guard)
	}
	gateways, err := gateway.NewSet(guards...)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.worker(func(p *worker.Parts, cfg *worker.Config) {
		p.Gateways, p.Router, cfg.DrainTimeout = gateways, failover{}, time.Millisecond
	})
}

// failover sends every payment to one of the two gateways first, and to the other where that is
// safe.
type failover struct{}

func (failover) Route(f routing.Facts) payment.Route {
	r := payment.Route{Gateway: "primary", Rule: "test", Fallbacks: []string{"second"}, FailoverOnDecline: true}
	if f.PaymentID[15]%2 == 0 {
		r.Gateway, r.Fallbacks = "second", []string{"primary"}
	}
	return r
}

// planned is a command under a key; publishing it twice is publishing it again.
type planned struct {
	id   uuid.UUID
	key  string
	body messages.CommandBody
}

// plan makes the commands of all payments and mixes them: neighbours stay near each other, so that
// a capture may overtake its create and refunds meet, and some are sent twice.
func (m *moneyTest) plan() []planned {
	var all []planned
	for i := range payments {
		id := uuid.UUID{0: 0xAB, 6: 0x70, 8: 0x80}
		id[13], id[14], id[15] = byte(i>>16), byte(i>>8), byte(i)
		all = append(all, m.commandsOf(id)...)
	}
	for i := range all {
		j := min(len(all)-1, i+m.random.IntN(12))
		all[i], all[j] = all[j], all[i]
		if m.random.IntN(10) == 0 {
			all = append(all, all[i])
		}
	}
	return all
}

func (m *moneyTest) commandsOf(id uuid.UUID) []planned {
	create := &messages.Create{
		AmountMinor: 1000 + m.random.Int64N(100_000), Currency: "EUR", PaymentMethod: m.paymentMethod(),
		CaptureMethod: []messages.CaptureMethod{
			messages.CaptureAutomatic, messages.CaptureManual, messages.CaptureManualMultiple,
		}[m.random.IntN(3)],
	}
	commands := []planned{{id, "create", create}}
	for range m.random.IntN(6) {
		part := 1 + m.random.Int64N(create.AmountMinor)
		var body messages.CommandBody
		switch m.random.IntN(6) {
		case 0:
			body = &messages.Confirm{}
		case 1:
			body = &messages.Void{}
		case 2:
			body = &messages.Capture{AmountMinor: &part, Final: m.random.IntN(2) == 0}
		case 3:
			body = &messages.Capture{}
		default:
			body = &messages.Refund{AmountMinor: &part}
		}
		commands = append(commands, planned{id, strconv.Itoa(len(commands)), body})
	}
	return commands
}

// paymentMethod is most often a good card, and else any of the simulator's troubles, at any kind of
// operation.
func (m *moneyTest) paymentMethod() string {
	cards := []string{
		"pm_card_visa_chargeDeclined", "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_visa_chargeDeclinedLostCard",
		"pm_card_chargeDeclinedExpiredCard", "pm_card_chargeDeclinedProcessingError", "pm_card_authenticationRequired",
		"pm_card_threeDSecure2Required", "pm_card_pendingRefund", "pm_card_refundFail", "pm_card_createDispute",
		"sim_wrong_amount", "sim_webhook_first", "sim_webhook_duplicate", "sim_webhook_reordered", "sim_capture_reversed",
	}
	faults := []string{
		"sim_charge_then_timeout", "sim_timeout_no_charge", "sim_reset_mid_response", "sim_500_after_charge",
		"sim_500_no_charge", "sim_429", "sim_dial_error", "sim_slow_50", "sim_reset_mid_response_3", "sim_500_no_charge_4",
	}
	switch m.random.IntN(5) {
	case 0:
		return cards[m.random.IntN(len(cards))]
	case 1, 2:
		at := []string{"", "", "@capture", "@refund", "@void", "@confirm"}[m.random.IntN(6)]
		return faults[m.random.IntN(len(faults))] + at
	default:
		return "pm_card_visa"
	}
}

// publishAll publishes in the order given, many at a time, each message under an id of its own so
// that the stream lets every copy through.
func (m *moneyTest) publishAll(commands []planned) {
	var publishing sync.WaitGroup
	slots := make(chan struct{}, 64)
	for _, c := range commands {
		slots <- struct{}{}
		publishing.Go(func() {
			defer func() { <-slots }()
			key := c.id.String() + ":" + c.key
			subject, header, body, err := messages.EncodeCommand(messages.Command{
				ID: uuid.NewString(), Tenant: "acme", PaymentID: c.id, IdempotencyKey: key, Body: c.body,
			}, messages.Origin{})
			if err != nil {
				m.t.Errorf("encode: %v", err)
				return
			}
			pairs := make([]string, 0, 2*len(header))
			for name, value := range header {
				pairs = append(pairs, name, value)
			}
			m.raw(subject, body, pairs...)
		})
	}
	publishing.Wait()
}

// atRest waits until nothing is left to do for anyone but a person.
func (m *moneyTest) atRest() {
	m.t.Helper()
	m.settled()
	servers.Eventually(m.t, "no payment has anything due or under way", func() bool {
		var open int
		err := m.pool.QueryRow(m.t.Context(), `
			SELECT (SELECT count(*) FROM payments WHERE awaiting_since IS NOT NULL)
			     + (SELECT count(*) FROM timers WHERE due_at < now() + interval '1 hour')`).Scan(&open)
		return err == nil && open == 0
	})
	m.settled()
}

// booksAgree waits until every payment agrees with what the two simulators did for it: what they
// take back, they take back a moment later.
func (m *moneyTest) booksAgree() {
	m.t.Helper()
	var problems []string
	m.t.Cleanup(func() {
		for _, p := range problems {
			m.t.Log(p)
		}
	})
	servers.Eventually(m.t, "the books of Tender and of the gateways agree", func() bool {
		problems = m.compareBooks()
		return len(problems) == 0
	})
	m.atRest()
}

func (m *moneyTest) compareBooks() (problems []string) {
	m.t.Helper()
	report, err := audit.Gateways(m.t.Context(), m.pool, m.ledgers, audit.GatewayOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range report.Findings {
		problems = append(problems, fmt.Sprintf("payment %s: %s: %s", f.PaymentID, f.Invariant, f.Detail))
	}
	return append(problems, m.leftOpen()...)
}

func (m *moneyTest) ledgers(context.Context) (map[string]audit.Ledger, error) {
	books := map[string]audit.Ledger{}
	for name, bank := range m.sims {
		books[name] = simulator.AuditLedger(bank.Snapshot())
	}
	return books, nil
}

// leftOpen looks for payments that are not settled, but for those that a person has to look at.
func (m *moneyTest) leftOpen() (problems []string) {
	m.t.Helper()
	statuses := map[messages.Status]int{}
	found := 0
	err := books.AtOneMoment(m.t.Context(), m.pool, func(now *books.Moment) error {
		return now.Payments(m.t.Context(), func(p *payment.Payment) error {
			if !p.Created() {
				return nil
			}
			found++
			statuses[p.Status]++
			for i := range p.Operations {
				op := &p.Operations[i]
				if op.Open() && (op.Status != payment.OperationManualReview || p.Operations[0].PaymentMethod != "sim_wrong_amount") {
					problems = append(problems, fmt.Sprintf("payment %s is at rest with operation %s %s", p.ID, op.ID, op.Status))
				}
			}
			return nil
		})
	})
	if err != nil {
		m.t.Fatal(err)
	}
	if found != payments {
		problems = append(problems, fmt.Sprintf("%d payments for %d creates", found, payments))
	}
	if len(problems) == 0 {
		m.t.Logf("%d payments: %v", found, statuses)
	}
	return problems
}

// compareBus holds the stream of events against the history, both ways: every published event once,
// nothing else.
func (m *moneyTest) compareBus() {
	m.t.Helper()
	report, err := audit.Bus(m.t.Context(), m.pool, m.js, audit.BusOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range report.Findings {
		m.t.Errorf("%+v", f)
	}
	if report.Messages != report.Committed {
		m.t.Errorf("%d events on the bus, %d in the history", report.Messages, report.Committed)
	}
}
