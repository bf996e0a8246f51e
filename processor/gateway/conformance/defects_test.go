package conformance_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// meeting is the time that a request waits for another one that should come at the same time. The
// clients that send two do so at once.
const meeting = 200 * time.Millisecond

// takesAnyParameters does not look at the parameters of an operation that it has done.
func takesAnyParameters() defect {
	var mu sync.Mutex
	first := make(map[string]map[string]any)
	return defect{
		asked: func(s *said) {
			mu.Lock()
			defer mu.Unlock()
			if op, done := first[s.id]; done && s.op != nil {
				s.op = maps.Clone(op)
			}
		},
		told: func(s *said) {
			mu.Lock()
			defer mu.Unlock()
			if s.op != nil && s.status == http.StatusOK {
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

// twiceAtOnce does a capture twice that is asked for twice at the same time.
func twiceAtOnce() defect {
	together := newPairs()
	return defect{asked: func(s *said) {
		if s.op != nil && s.kind() == "capture" && s.op["amount_minor"] == float64(400) && together.meet(s.id) == 2 {
			s.op["operation_id"] = s.id + "-again"
		}
	}, told: func(s *said) {
		s.body = strings.ReplaceAll(s.body, s.id+"-again", s.id)
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
