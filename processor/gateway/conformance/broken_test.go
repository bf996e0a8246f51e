package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// said is one exchange with the simulator.
type said struct {
	lookup bool
	path   string
	// id is the operation's, also of a lookup.
	id string
	// op is the operation in the request; nil if that was no JSON object, and for a lookup.
	op     map[string]any
	status int
	body   string
}

func (s *said) kind() string { return fmt.Sprint(s.op["kind"]) }

// answers makes it an answer about the operation.
func (s *said) answers(status int, rest string) {
	s.status, s.body = status, fmt.Sprintf(`{"operation_id":%q,%s}`, s.id, rest)
}

func (s *said) fails(status int, code protocol.Code) {
	s.status, s.body = status, string(protocol.EncodeProblem(protocol.Problem{Code: code}))
}

// defect is one way to break a server. It stands between the client and a simulator; each hook may
// be nil.
type defect struct {
	// asked changes the request to the simulator. If it sets a status, the simulator is not asked
	// at all.
	asked func(*said)
	// told changes the simulator's answer.
	told func(*said)
}

// spoil puts a defect in front of a server.
func spoil(d defect, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		s := &said{lookup: r.Method == http.MethodGet, path: r.URL.Path}
		if json.Unmarshal(body, &s.op) == nil && s.op != nil {
			s.id, _ = s.op["operation_id"].(string)
		}
		if id, found := strings.CutPrefix(r.URL.Path, protocol.PathOperation); found {
			s.id = id
		}
		if d.asked != nil && (s.lookup || s.op != nil) {
			d.asked(s)
			if s.op != nil {
				if body, err = json.Marshal(s.op); err != nil {
					panic(err)
				}
			}
		}
		if s.status == 0 {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			reply := httptest.NewRecorder()
			next.ServeHTTP(reply, r)
			s.status, s.body = reply.Code, reply.Body.String()
		}
		if d.told != nil {
			d.told(s)
		}
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
	})
}

// insteadOf has declines with a code succeed.
func insteadOf(code string) defect {
	return defect{told: func(s *said) {
		if !s.lookup && strings.Contains(s.body, `"`+code+`"`) {
			s.answers(http.StatusOK, `"outcome":"succeeded","gateway_reference":"made-up"`)
		}
	}}
}

// TestBrokenServersFailTheRightLines has servers that were written in a hurry. Each breaks the
// rules of its row and no other.
func TestBrokenServersFailTheRightLines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		defect defect
		breaks []string
		// perhaps lists the rules that it breaks only if a client gives up early enough.
		perhaps []string
	}{
		"takes a known key for the same operation": {
			takesAnyParameters(), []string{"key-reuse-refused"}, nil,
		},
		"does every request anew": {forgetsKeys(), []string{
			"replay-same-answer", "replay-concurrent", "key-reuse-refused", "lookup-by-key", "lookup-in-progress",
			"decline-stable", "challenge-confirmed", "slow-request", "abandoned-request",
		}, nil},
		"does a request while the same is being done": {
			twiceAtOnce(), []string{"replay-concurrent"}, nil,
		},
		"captures more than was authorized": {insteadOf("amount_exceeds_authorized"), []string{
			"replay-concurrent", "lookup-by-key", "partial-captures", "over-capture-refused", "final-capture-releases",
			"concurrent-captures", "challenge-confirmed", "abandoned-request", "slow-request",
		}, nil},
		"refunds more than was captured": {insteadOf("amount_exceeds_captured"), []string{
			"replay-same-answer", "over-capture-refused", "final-capture-releases", "void-releases", "partial-refunds",
			"over-refund-refused", "concurrent-refunds",
		}, nil},
		"checks refunds that come at the same time one by one": {
			refundsAtOnce(), []string{"concurrent-refunds"}, nil,
		},
		"keeps what a final capture should release": {
			defect{asked: func(s *said) { delete(s.op, "final") }}, []string{"final-capture-releases"}, nil,
		},
		"captures and refunds in any currency": {
			defect{asked: func(s *said) {
				if s.op != nil && s.kind() != "authorize" && s.op["currency"] != nil {
					s.op["currency"] = "USD"
				}
			}}, []string{"other-currency-refused"}, nil,
		},
		"says yes to a void and does nothing": {
			defect{asked: func(s *said) {
				if s.kind() == "void" && s.op["gateway_reference"] != nil {
					s.answers(http.StatusOK, `"outcome":"succeeded"`)
				}
			}},
			[]string{
				"lookup-by-key", "final-capture-releases", "void-releases", "void-after-capture-refused",
				"unknown-reference-refused", "required-fields",
			},
			nil,
		},
		"follows authorizations that do not exist": {
			insteadOf("authorization_not_found"), []string{"unknown-reference-refused"}, nil,
		},
		"captures before the customer has proven anything": {
			insteadOf("authentication_pending"), []string{"challenge-confirmed"}, nil,
		},
		"gives another reason for every decline": {
			otherReasons(), []string{"decline-stable"}, nil,
		},
		"does not keep what it declined": {
			defect{told: func(s *said) {
				if s.lookup && s.status == http.StatusPaymentRequired {
					s.fails(http.StatusNotFound, protocol.CodeOperationNotFound)
				}
			}}, []string{"lookup-by-key", "decline-stable"}, nil,
		},
		"takes what it does not know for declined": {
			defect{told: func(s *said) {
				if s.lookup && s.status == http.StatusNotFound {
					s.answers(http.StatusPaymentRequired, `"outcome":"declined","decline_code":"generic_decline"`)
				}
			}}, []string{"lookup-unknown-key", "credentials"}, []string{"abandoned-request", "slow-request"},
		},
		"asks a replica that lags": {
			lags(), []string{"lookup-by-key", "lookup-in-progress"}, []string{"abandoned-request", "slow-request"},
		},
		"breaks over what is not JSON": {
			defect{told: func(s *said) {
				if s.op == nil && s.status == http.StatusBadRequest {
					s.fails(http.StatusInternalServerError, protocol.CodeInternal)
				}
			}}, []string{"invalid-body"}, nil,
		},
		"breaks over fields it does not know": {
			defect{told: func(s *said) {
				if s.op["unknown_field"] != nil {
					s.fails(http.StatusInternalServerError, protocol.CodeInternal)
				}
			}}, []string{"unknown-field"}, nil,
		},
		"keeps what it refused": {
			usesUpKeys(), []string{"invalid-body", "required-fields", "unknown-field"}, nil,
		},
		"answers in a status of its own": {
			defect{told: func(s *said) {
				if s.status == http.StatusUnprocessableEntity {
					s.status = http.StatusConflict
				}
			}}, []string{"key-reuse-refused"}, nil,
		},
		"asks for its key to say that it is there": {
			defect{told: func(s *said) {
				if s.path == protocol.PathHealth {
					s.fails(http.StatusUnauthorized, protocol.CodeUnauthorized)
				}
			}}, []string{"health"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(spoil(c.defect, newSimulator(t).Handler(testKey)))
			t.Cleanup(server.Close)
			wantBroken(t, overHTTP(t, server.URL, testKey), c.breaks, c.perhaps)
		})
	}
	t.Run("asks for no key", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(newSimulator(t).Handler(""))
		t.Cleanup(server.Close)
		wantBroken(t, overHTTP(t, server.URL, testKey), []string{"credentials"}, nil)
	})
}

// wantBroken runs all rules and wants these to be broken, with evidence, and no others.
func wantBroken(t *testing.T, target *conformance.Target, breaks, perhaps []string) {
	t.Helper()
	report, err := conformance.Run(t.Context(), target, conformance.Options{Cards: testCards(), CallTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	reasons := ""
	got := []string{}
	for _, r := range report.Results {
		if r.Verdict != conformance.Fail {
			continue
		}
		reasons += fmt.Sprintf("%s: %s\n", r.Rule, r.Reason)
		if !slices.Contains(perhaps, r.Rule) {
			got = append(got, r.Rule)
		}
		if r.Reason == "" || len(r.Evidence) == 0 {
			t.Errorf("%s is broken without evidence: %+v", r.Rule, r)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(breaks)), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("broken (-want +got):\n%s\n%s", diff, reasons)
	}
}
