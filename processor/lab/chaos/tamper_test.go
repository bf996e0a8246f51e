package chaos_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// tampered is the data of a check, for a tampering to change.
type tampered struct {
	*system
	ledgers  map[string]audit.Ledger
	recorded *chaos.Recorded
	// bus is the future content of the stream of events.
	bus []*nats.Msg
	// victim is the payment that is tampered with: captured in one go and in order.
	victim uuid.UUID
}

// tampering changes a payment past all guards. The check must find it under the item.
type tampering struct {
	do   func(*tampered)
	want chaos.ItemName
}

func tamperings() map[string]tampering {
	return map[string]tampering{
		"charged twice":             {(*tampered).chargeTwice, chaos.NeverTwice},
		"charged elsewhere, too":    {(*tampered).chargeElsewhere, chaos.NeverTwice},
		"charged more than is said": {func(x *tampered) { x.entry().CapturedMinor-- }, chaos.NeverTwice},
		"operation forgotten":       {func(x *tampered) { x.entry().OperationID += "0" }, chaos.NeverLost},
		"operation started twice": {func(x *tampered) {
			x.exec(`INSERT INTO commands SELECT tenant, command, idempotency_key || '-another', '', payload_hash, payment_id, version, operation_id, outcome FROM commands WHERE payment_id = $1 AND operation_id <> ''`, x.victim)
		}, chaos.NeverTwice},
		"command lost": {func(x *tampered) {
			x.exec(`DELETE FROM commands WHERE payment_id = $1`, x.victim)
			x.exec(`DELETE FROM timers WHERE payment_id = $1`, x.victim)
			x.exec(`DELETE FROM payment_events WHERE payment_id = $1`, x.victim)
			x.exec(`DELETE FROM payments WHERE payment_id = $1`, x.victim)
		}, chaos.NeverLost},
		"claim lost": {func(x *tampered) { x.exec(`DELETE FROM commands WHERE payment_id = $1`, x.victim) }, chaos.NeverLost},
		"command invented": {func(x *tampered) {
			x.exec(`INSERT INTO commands SELECT tenant, 'void', 'invented', '', payload_hash, payment_id, version, '', outcome FROM commands WHERE payment_id = $1 AND command = 'create' AND conflict_hash = ''`, x.victim)
		}, chaos.NeverLost},
		"payment invented":      {(*tampered).forgetSending, chaos.NeverLost},
		"another amount":        {(*tampered).forgeClaim, chaos.NeverLost},
		"success made up":       {(*tampered).dropEntry, chaos.UnknownIsNotFailed},
		"unknown called failed": {(*tampered).callFailed, chaos.UnknownIsNotFailed},
		"unknown tried elsewhere": {func(x *tampered) {
			x.alter(func(p *payment.Payment) {
				again := p.Operations[0]
				again.ID, again.Gateway = again.ID+"9", "elsewhere"
				p.Operations[0].Status = payment.OperationUnknown
				p.Operations = append(p.Operations, again)
			})
		}, chaos.UnknownIsNotFailed},
		"limit broken here": {func(x *tampered) {
			x.alter(func(p *payment.Payment) { p.RefundedMinor = p.CapturedMinor + 1 })
		}, chaos.WithinLimits},
		"limit broken there": {func(x *tampered) { x.entry().RefundedMinor = x.entry().CapturedMinor + 1 }, chaos.WithinLimits},
		"amount in an event": {func(x *tampered) {
			x.exec(`UPDATE payment_events SET data = replace(data::text, '"amount_minor":', '"amount_minor":1')::json WHERE payment_id = $1 AND type = 'payment.captured'`, x.victim)
		}, chaos.History},
		"amount in the row": {func(x *tampered) {
			x.exec(`UPDATE payments SET amount_minor = amount_minor + 1 WHERE payment_id = $1`, x.victim)
		}, chaos.History},
		"seen otherwise": {func(x *tampered) { x.seen().BodyHash[0]++ }, chaos.History},
		"seen and gone":  {func(x *tampered) { x.seen().Version += 50 }, chaos.History},
		"message lost": {func(x *tampered) {
			x.bus = slices.Delete(x.bus, x.at(0), x.at(0)+1)
		}, chaos.Published},
		"messages swapped": {func(x *tampered) {
			x.bus[x.at(0)], x.bus[x.at(1)] = x.bus[x.at(1)], x.bus[x.at(0)]
		}, chaos.Published},
		"message changed": {func(x *tampered) {
			x.bus[x.at(0)].Data = []byte(strings.Replace(string(x.bus[x.at(0)].Data), `"amount_minor":`, `"amount_minor":9`, 1))
		}, chaos.Published},
		"message misplaced": {func(x *tampered) {
			x.bus[x.at(0)].Subject = strings.Replace(x.bus[x.at(0)].Subject, ".created.", ".voided.", 1)
		}, chaos.Published},
		"header changed": {func(x *tampered) { x.bus[x.at(0)].Header.Set(messages.HeaderCETime, "2020-01-01T00:00:00.000000Z") }, chaos.Published},
		"message invented": {func(x *tampered) {
			x.repeat(func(m *nats.Msg) { m.Header.Set(messages.HeaderMessageID, x.victim.String()+":60") })
		}, chaos.Published},
		"message without id": {func(x *tampered) { x.repeat(func(m *nats.Msg) { m.Header.Del(messages.HeaderMessageID) }) }, chaos.Published},
		"call unanswered": {func(x *tampered) {
			x.exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) SELECT payment_id, 'stale', tenant, '2020-01-01', '2020-01-01' FROM payments WHERE payment_id = $1`, x.victim)
		}, chaos.Liveness},
	}
}

// The check must find every tampering under its item, at its payment. All tamperings change the
// data of one run, each another payment. Before them all invariants hold.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	s := setup(t, 250)
	s.workload.Run(t.Context())
	drain := s.await()
	s.halt()
	recorded := s.recorded()
	before := s.check(chaos.Sources{Ledgers: s.ledgers, Record: recorded, Drain: drain})
	if !before.OK {
		t.Fatalf("before anything was done: %+v", before.Items)
	}
	ledgers, err := s.ledgers(t.Context())
	s.must(err)
	x := &tampered{system: s, ledgers: ledgers, recorded: recorded, bus: s.readBus()}
	s.exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	cases := tamperings()
	names := slices.Sorted(maps.Keys(cases))
	victims := s.victims(len(names))
	for i, name := range names {
		x.victim = victims[i]
		cases[name].do(x)
	}
	s.rewriteBus(x.bus)
	after := s.check(chaos.Sources{
		Ledgers: func(context.Context) (map[string]audit.Ledger, error) { return x.ledgers, nil }, Record: recorded, Drain: drain,
	})
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			item := after.Item(cases[name].want)
			if !slices.ContainsFunc(item.Findings, func(f chaos.Finding) bool {
				return (f.PaymentID == victims[i] || strings.Contains(f.Detail, victims[i].String())) && f.Detail != ""
			}) {
				t.Errorf("%s of payment %s is not among what was found: %+v", item.Name, victims[i], item.Findings)
			}
		})
	}
	if after.OK {
		t.Error("the verdict is that everything holds")
	}
}

// A dead letter that is thrown away was the only trace of its command.
func TestLostDeadLetterIsFound(t *testing.T) {
	t.Parallel()
	s := setup(t, 150)
	s.workload.Run(t.Context())
	drain := s.await()
	recorded := s.recorded()
	stream, err := s.js.Stream(t.Context(), messages.StreamDeadLetters)
	s.must(err)
	s.must(stream.DeleteMsg(t.Context(), stream.CachedInfo().State.LastSeq))
	verdict := s.check(chaos.Sources{Record: recorded, Drain: drain})
	lost := verdict.Item(chaos.NeverLost)
	if verdict.OK || !slices.ContainsFunc(lost.Findings, func(f chaos.Finding) bool { return strings.Contains(f.Detail, "is no dead letter") }) {
		t.Errorf("found %+v", lost)
	}
}

// victims returns payments that were created first, on a busy machine not after a command that came
// too early and was refused, and captured at once.
func (s *system) victims(n int) []uuid.UUID {
	s.Helper()
	rows, err := s.pool.Query(s.Context(), `
		SELECT payment_id::text FROM payments
		WHERE status IN ('captured', 'partially_refunded') AND capture_method = 'automatic' AND json_array_length(state -> 'operations') <= 3
		  AND EXISTS (SELECT FROM commands c WHERE c.payment_id = payments.payment_id AND c.operation_id LIKE '%-1')
		  AND EXISTS (SELECT FROM payment_events e WHERE e.payment_id = payments.payment_id AND e.version = 1 AND e.type = 'payment.created')
		ORDER BY json_array_length(state -> 'operations'), payment_id LIMIT $1`, n)
	s.must(err)
	defer rows.Close()
	var found []uuid.UUID
	for rows.Next() {
		var text string
		s.must(rows.Scan(&text))
		found = append(found, uuid.MustParse(text))
	}
	if len(found) < n {
		s.Fatalf("%d payments to tamper with, of %d that are needed", len(found), n)
	}
	return found
}

// entry is the victim's charge in the ledger of its gateway.
func (x *tampered) entry() *audit.LedgerEntry {
	x.Helper()
	for _, ledger := range x.ledgers {
		for i := range ledger.Entries {
			if e := &ledger.Entries[i]; e.PaymentID == x.victim && e.CapturedMinor > 0 {
				return e
			}
		}
	}
	x.Fatalf("no gateway charged payment %s", x.victim)
	return nil
}

func (x *tampered) chargeTwice() {
	again := *x.entry()
	for name, ledger := range x.ledgers {
		if slices.Contains(ledger.Entries, again) {
			ledger.Entries = append(ledger.Entries, again)
			x.ledgers[name] = ledger
		}
	}
}

func (x *tampered) chargeElsewhere() {
	again := *x.entry()
	for name, ledger := range x.ledgers {
		if !slices.Contains(ledger.Entries, again) {
			ledger.Entries = append(ledger.Entries, again)
			x.ledgers[name] = ledger
			return
		}
	}
}

func (x *tampered) dropEntry() {
	gone := *x.entry()
	for name, ledger := range x.ledgers {
		ledger.Entries = slices.DeleteFunc(ledger.Entries, func(e audit.LedgerEntry) bool { return e == gone })
		x.ledgers[name] = ledger
	}
}

// callFailed lets it look as if a call without an answer had been taken for a failure.
func (x *tampered) callFailed() {
	x.alter(func(p *payment.Payment) { p.Operation(x.entry().OperationID).Status = payment.OperationFailed })
}

// alter rewrites the victim's state.
func (x *tampered) alter(change func(*payment.Payment)) {
	x.Helper()
	p, err := x.store.Get(x.Context(), "", x.victim)
	x.must(err)
	change(p)
	state, err := json.Marshal(p)
	x.must(err)
	x.exec(`UPDATE payments SET state = $2 WHERE payment_id = $1`, x.victim, state)
}

func (x *tampered) forgetSending() {
	x.recorded.Sent = slices.DeleteFunc(x.recorded.Sent, func(s chaos.Sent) bool { return s.PaymentID == x.victim })
}

// forgeClaim makes the claim of the victim's create one of something else.
func (x *tampered) forgeClaim() {
	x.exec(`UPDATE commands SET payload_hash = sha256('something else') WHERE payment_id = $1`, x.victim)
}

func (x *tampered) seen() *chaos.Seen {
	x.Helper()
	for i := range x.recorded.Seen {
		if x.recorded.Seen[i].PaymentID == x.victim {
			return &x.recorded.Seen[i]
		}
	}
	x.Fatalf("the client saw nothing of payment %s", x.victim)
	return nil
}

// at returns the place on the bus of the nth message about the victim.
func (x *tampered) at(n int) int {
	x.Helper()
	for i, m := range x.bus {
		if strings.HasSuffix(m.Subject, x.victim.String()) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	x.Fatalf("too few events of payment %s on the bus", x.victim)
	return 0
}

// repeat puts a changed copy of the victim's first message at the end of the bus.
func (x *tampered) repeat(change func(*nats.Msg)) {
	m := x.bus[x.at(0)]
	again := &nats.Msg{Subject: m.Subject, Header: maps.Clone(m.Header), Data: m.Data}
	change(again)
	x.bus = append(x.bus, again)
}

// readBus returns the stream of events.
func (s *system) readBus() (all []*nats.Msg) {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), messages.StreamEvents)
	s.must(err)
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(s.Context(), sequence)
		s.must(err)
		m := &nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}
		for name := range m.Header {
			if strings.HasPrefix(name, "Nats-") && name != messages.HeaderMessageID {
				m.Header.Del(name)
			}
		}
		all = append(all, m)
	}
	return all
}

// rewriteBus replaces the stream of events, which is the only way to change it.
func (s *system) rewriteBus(all []*nats.Msg) {
	s.Helper()
	s.must(s.js.DeleteStream(s.Context(), messages.StreamEvents))
	_, err := bus.Provision(s.Context(), s.js, s.streams, bus.ProvisionOptions{})
	s.must(err)
	for _, m := range all {
		_, err := s.js.PublishMsg(s.Context(), m, jetstream.WithExpectStream(messages.StreamEvents))
		s.must(err)
	}
}

// An event that comes again is no violation; with another body it is.
func TestRepetitionOnBus(t *testing.T) {
	t.Parallel()
	s := setup(t, 10)
	s.workload.Run(t.Context())
	s.await()
	recorded := s.recorded()
	all := s.readBus()
	again := all[0]
	publish := func() {
		t.Helper()
		timer := time.NewTimer(2 * s.streams.DuplicatesWindow) // the stream has forgotten the message id by then
		<-timer.C
		_, err := s.js.PublishMsg(t.Context(), again)
		s.must(err)
	}
	publish()
	if v := s.check(chaos.Sources{Ledgers: s.ledgers, Record: recorded}); !v.OK || v.Figures.EventsRepeated != 1 {
		t.Errorf("the same event again: %d repeated, %+v", v.Figures.EventsRepeated, v.Items)
	}
	again.Data = append(slices.Clone(again.Data), ' ')
	publish()
	if v := s.check(chaos.Sources{Ledgers: s.ledgers, Record: recorded}); v.Item(chaos.Published).Violated != 1 || v.Figures.EventsRepeated != 2 {
		t.Errorf("the same event with another body: %d repeated, %+v", v.Figures.EventsRepeated, v.Items)
	}
}
