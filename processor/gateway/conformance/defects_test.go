package conformance_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// meeting is the time that a request waits for another one that should come at the same time. The
// clients that send two do so at once.
const meeting = time.Second

// ignores does not look at a parameter of an operation that it has done.
func ignores(field string) defect {
	var mu sync.Mutex
	first := make(map[string]map[string]any)
	return defect{
		asked: func(s *said) {
			mu.Lock()
			defer mu.Unlock()
			op, done := first[s.id]
			if !done || s.op == nil {
				return
			}
			delete(s.op, field)
			if value, had := op[field]; had {
				s.op[field] = value
			}
		},
		told: func(s *said) {
			mu.Lock()
			defer mu.Unlock()
			if s.op != nil && s.status == http.StatusOK && first[s.id] == nil {
				first[s.id] = maps.Clone(s.op)
			}
		},
	}
}

// forgetsKeys does every request under a key of its own making.
func forgetsKeys() defect {
	var mu sync.Mutex
	count := 0
	return defect{
		asked: func(s *said) {
			if s.op == nil || s.id == "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			count++
			s.op["operation_id"] = fmt.Sprintf("made-up-%d", count)
		},
		told: func(s *said) {
			if made, ok := s.op["operation_id"].(string); ok && s.id != "" {
				s.body = strings.Replace(s.body, fmt.Sprintf(`{"operation_id":%q`, made), fmt.Sprintf(`{"operation_id":%q`, s.id), 1)
			}
		},
	}
}

// pairs lets requests of a kind wait a moment for another one about the same, and reports whether
// it came.
type pairs struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func newPairs() *pairs { return &pairs{waiting: make(map[string]chan struct{})} }

// meet returns 1 to the first of two that meet, 2 to the second, and 0 to one that stays alone.
func (p *pairs) meet(about string) int {
	p.mu.Lock()
	if other, there := p.waiting[about]; there {
		delete(p.waiting, about)
		p.mu.Unlock()
		close(other)
		return 2
	}
	met := make(chan struct{})
	p.waiting[about] = met
	p.mu.Unlock()
	limit := time.NewTimer(meeting)
	defer limit.Stop()
	select {
	case <-met:
		return 1
	case <-limit.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[about] != met {
		return 1 // It came in the last moment.
	}
	delete(p.waiting, about)
	return 0
}

// twiceAtOnce does an operation twice that is asked for twice at the same time: one of that kind
// and amount, or a void after a capture of 900. An authorization of 2000 counts if it captures.
func twiceAtOnce(kind string, amountMinor float64) defect {
	together := newPairs()
	var mu sync.Mutex
	captured := make(map[string]bool)
	return defect{asked: func(s *said) {
		if s.op == nil {
			return
		}
		reference := fmt.Sprint(s.op["gateway_reference"])
		mu.Lock()
		if s.kind() == "capture" && s.op["amount_minor"] == float64(900) {
			captured[reference] = true
		}
		raced := s.kind() == kind && s.op["amount_minor"] == amountMinor
		switch s.kind() {
		case "void":
			raced = raced && captured[reference]
		case "authorize":
			raced = raced && s.op["capture"] == true
		}
		mu.Unlock()
		if raced && together.meet(s.id) == 2 {
			s.op["operation_id"] = s.id + "-again"
		}
	}, told: func(s *said) {
		s.body = strings.ReplaceAll(s.body, s.id+"-again", s.id)
	}}
}

// voidsWhatIsBeingCaptured says yes to a void and a capture of 1300 that come at the same time.
func voidsWhatIsBeingCaptured() defect {
	together := newPairs()
	var mu sync.Mutex
	authorized := make(map[string]bool)
	return defect{asked: func(s *said) {
		reference := fmt.Sprint(s.op["gateway_reference"])
		mu.Lock()
		known := authorized[reference]
		mu.Unlock()
		raced := s.op != nil && known && (s.kind() == "void" || s.kind() == "capture" && s.op["amount_minor"] == float64(1300))
		if raced && together.meet(reference) == 2 {
			s.answers(http.StatusOK, `"outcome":"succeeded","gateway_reference":"both","amount_minor":1300`)
		}
	}, told: func(s *said) {
		if s.op != nil && s.kind() == "authorize" && s.op["amount_minor"] == float64(1300) {
			mu.Lock()
			defer mu.Unlock()
			authorized["auth_"+s.id] = true
		}
	}}
}

// refundsAtOnce checks each of two refunds at the same time against the state before both.
func refundsAtOnce() defect {
	together := newPairs()
	return defect{asked: func(s *said) {
		if s.op != nil && s.kind() == "refund" && s.op["amount_minor"] == float64(6000) && together.meet(fmt.Sprint(s.op["gateway_reference"])) == 2 {
			s.answers(http.StatusOK, `"outcome":"succeeded","gateway_reference":"too-much"`)
		}
	}}
}

// otherReasons declines again for another reason.
func otherReasons() defect {
	var mu sync.Mutex
	declined := make(map[string]int)
	return defect{told: func(s *said) {
		if s.status != http.StatusPaymentRequired {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if declined[s.id]++; declined[s.id] > 1 {
			s.body = strings.ReplaceAll(s.body, "insufficient_funds", "do_not_honor")
		}
	}}
}

// lags does not find an operation every second time that it is looked up, from the second on.
func lags() defect {
	var mu sync.Mutex
	lookups := make(map[string]int)
	return defect{told: func(s *said) {
		if !s.lookup || s.status == http.StatusNotFound || s.status == http.StatusUnauthorized || s.path == protocol.PathHealth {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if lookups[s.id]++; lookups[s.id]%2 == 0 {
			s.fails(http.StatusNotFound, protocol.CodeOperationNotFound)
		}
	}}
}

// usesUpKeys remembers refused requests as if it had answered them.
func usesUpKeys() defect {
	var mu sync.Mutex
	refused := make(map[string]bool)
	return defect{told: func(s *said) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case s.id == "" || s.lookup:
		case s.status == http.StatusBadRequest:
			refused[s.id] = true
		case refused[s.id] && s.status == http.StatusOK:
			s.fails(http.StatusUnprocessableEntity, protocol.CodeIdempotencyConflict)
		}
	}}
}

// oneTenant takes the second tenant for the first.
func oneTenant() defect {
	return defect{asked: func(s *said) {
		if s.tenant == "globex" {
			s.tenant = "acme"
		}
		if s.op["tenant"] == "globex" {
			s.op["tenant"] = "acme"
		}
	}}
}

// looksUpAnyTenant takes a lookup that names no tenant.
func looksUpAnyTenant() defect {
	return defect{asked: func(s *said) {
		if s.lookup && s.tenant == "" {
			s.tenant = "acme"
		}
	}}
}

// fills puts a value in the place of a field that is missing.
func fills(field string, value any) defect {
	return defect{asked: func(s *said) {
		if s.op != nil && s.op[field] == nil {
			s.op[field] = value
		}
	}}
}

// tolerates has declines with a code succeed where the amount is over a threshold.
func tolerates(code string, overMinor float64) defect {
	return defect{told: func(s *said) {
		amount, _ := s.op["amount_minor"].(float64)
		if amount > overMinor && strings.Contains(s.body, `"`+code+`"`) {
			s.answers(http.StatusOK, fmt.Sprintf(`"outcome":"succeeded","gateway_reference":"tolerated","amount_minor":%.0f`, amount))
		}
	}}
}

// says replaces what fits a pattern in the bodies of a status.
func says(status int, pattern, instead string) defect {
	written := regexp.MustCompile(pattern)
	return defect{told: func(s *said) {
		if s.status == status {
			s.body = written.ReplaceAllString(s.body, instead)
		}
	}}
}

// newIDs gives an event that comes again another id.
func newIDs() defect {
	var mu sync.Mutex
	tries := make(map[string]int)
	return defect{event: func(e *protocol.Event, _ *string) {
		mu.Lock()
		defer mu.Unlock()
		if tries[e.ID]++; tries[e.ID] > 1 {
			e.ID += fmt.Sprintf("-%d", tries[e.ID])
		}
	}}
}
