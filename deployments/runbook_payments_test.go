package deployments_test

import (
	"net/http"
	"net/http/httptest"
	"syscall"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func payments() map[string]incident {
	return map[string]incident{
		"gateway-down": {
			gateways: `gateways:
  simulator: {kind: http, url: $URL, concurrency_max: 8, breaker: {requests_min: 1, open_for: 2s}}
  backup: {kind: sim, concurrency_max: 8}
allow_simulator: true
routing: {default: simulator}
retry: {not_sent_initial: 200ms, not_sent_max: 1s}
`,
			make: func(s *scene) {
				s.vars["GATEWAY"], s.vars["OTHER_GATEWAY"] = "simulator", "backup"
				s.gateway.shut()
				s.serveAll()
				s.name(s.pay("pm_card_visa"))
			},
			hands: map[string]func(*scene){"the gateway comes back": func(s *scene) { s.gateway.open(s.t) }},
			over:  (*scene).wantCaptured,
		},
		"unknown": {
			settings: []string{"TENDER_RETRY_UNKNOWN_REPLAYS=1s,2s,3s,4s,5s,6s,8s,10s,15s,20s,30s"},
			make: func(s *scene) {
				s.gateway.mute.Store(true)
				s.serveAll()
				s.name(s.pay("pm_card_visa"))
			},
			hands: map[string]func(*scene){"the gateway comes back": func(s *scene) { s.gateway.mute.Store(false) }},
			over:  (*scene).wantCaptured,
		},
		"review": {
			make: func(s *scene) {
				s.vars["ACTOR"], s.vars["REASON"] = "jane@example.com", "in the settlement file of 3 March"
				s.vars["AMOUNT"] = "1998"
				s.serveAll()
				s.name(s.pay("sim_wrong_amount"))
				s.await(uuid.MustParse(s.vars["PAYMENT"]), messages.StatusReview)
			},
			over: (*scene).wantCaptured,
		},
		"compensate": {
			make: func(s *scene) {
				s.vars["ACTOR"], s.vars["REASON"] = "jane@example.com", "confirmed by the provider"
				s.serveAll()
				id := s.paid(1)[0]
				s.name(id)
				// The gateway tells of more than Tender knows.
				s.send(messages.Command{PaymentID: id, Body: &messages.Notify{
					Gateway: "simulator", EventID: "evt_1", Kind: messages.NotifyOutcome, Outcome: messages.OutcomeSucceeded,
					OperationID: id.String() + "-1", AmountMinor: 2099,
				}})
				s.await(id, messages.StatusReview)
			},
			over: func(s *scene) {
				p, err := s.store.Get(s.t.Context(), sceneTenant, uuid.MustParse(s.vars["PAYMENT"]))
				if err != nil {
					s.t.Fatal(err)
				}
				if p.Status != messages.StatusCaptured || p.ExcessMinor != 0 || p.Operations[0].CompensatedMinor != 100 {
					s.t.Errorf("%s with an excess of %d, and %d given back", p.Status, p.ExcessMinor, p.Operations[0].CompensatedMinor)
				}
			},
		},
		"charged-twice": {
			make: func(s *scene) {
				s.serveAll()
				s.vars["REFERENCE"] = "order-42"
				s.name(s.paid(2)[1])
			},
			over: func(s *scene) { s.await(uuid.MustParse(s.vars["PAYMENT"]), messages.StatusRefunded) },
		},
		"worker-killed": {
			make: func(s *scene) {
				victim := s.serve("worker")
				s.name(s.pay("sim_slow_2000"))
				servers.Eventually(s.t, "the gateway to be asked", func() bool { return len(s.simulator.Snapshot().Operations) > 0 })
				victim.end(syscall.SIGKILL)
				s.serveAll()
			},
		},
	}
}

func (s *scene) wantCaptured() {
	s.t.Helper()
	s.await(uuid.MustParse(s.vars["PAYMENT"]), messages.StatusCaptured)
}

// answering does what it is asked, and says nothing of it for as long as the gateway is mute.
func (d *gatewayDoor) answering() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.mute.Load() {
			d.handler.ServeHTTP(w, r)
			return
		}
		d.handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // cuts the connection
	})
}

func chores() map[string]incident {
	return map[string]incident{
		"clock": {make: func(*scene) {}},
		"deploy": {
			make: func(s *scene) {
				s.serveAll()
				s.paid(1)
			},
			hands: map[string]func(*scene){"replace the processes": func(s *scene) {
				old := s.processes[0]
				s.serveAll()
				old.end(syscall.SIGTERM)
				if code := old.cmd.ProcessState.ExitCode(); code != 0 {
					s.t.Errorf("tender drained with exit code %d", code)
				}
			}},
			over: func(s *scene) { s.paid(1) },
		},
		"secret-leaked": {make: func(s *scene) {
			s.vars["SINCE"] = "24h"
			s.serveAll()
			s.paid(1)
		}},
		"card-number": {
			make: func(s *scene) {
				s.serveAll()
				_, err := s.js.Publish(s.t.Context(), "payments.cmd.acme.create."+uuid.NewString(),
					[]byte(`{"amount_minor":1999,"currency":"USD","payment_method":"4242 4242 4242 4242"}`), jetstream.WithMsgID("order-42"))
				if err != nil {
					s.t.Fatal(err)
				}
				s.awaitLetter()
				s.vars["SEQUENCE"] = "1"
			},
			over: func(s *scene) {
				if left := s.letters(); len(left) > 0 {
					s.t.Errorf("%d dead letters are left", len(left))
				}
			},
		},
	}
}
