package httpgw_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// serve answers every request with the handler.
func serve(t *testing.T, handle http.HandlerFunc) *httpgw.Gateway {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return client(t, httpgw.Config{URL: s.URL, APIKey: "sk_test"})
}

func TestRequests(t *testing.T) {
	t.Parallel()
	op := authorization()
	var seen []string
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path)
		if got := r.Header.Get("Authorization"); got != "Bearer sk_test" {
			t.Errorf("authorization is %q", got)
		}
		if r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != "" {
			t.Error("the key is in a header, where net/http takes it as leave to send again")
		}
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got, err := protocol.DecodeOperation(body)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(op, got); diff != "" {
				t.Errorf("another operation arrived (-sent +arrived):\n%s", diff)
			}
		}
		_, _ = fmt.Fprintf(w, `{"operation_id":%q,"outcome":"succeeded","gateway_reference":"ref","amount_minor":1999,
			"capture_before":"2030-01-02T03:04:05Z","a_field_of_tomorrow":1}`, op.ID)
	})
	answer := messages.Outcome{
		Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1999,
		CaptureBefore: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if diff := cmp.Diff(answer, g.Do(t.Context(), op)); diff != "" {
		t.Errorf("Do (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(answer, g.Lookup(t.Context(), op)); diff != "" {
		t.Errorf("Lookup (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"POST /v1/operations", "GET /v1/operations/" + op.ID}, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestAnswersAreJudgedStrictly(t *testing.T) {
	t.Parallel()
	const (
		ok       = `{"operation_id":"ID","outcome":"succeeded","gateway_reference":"ref"}`
		declined = `{"operation_id":"ID","outcome":"declined","decline_code":"insufficient_funds","network_advice_code":"25"}`
	)
	problem := func(code protocol.Code) string { return `{"error":{"code":"` + string(code) + `","message":"why"}}` }
	for name, c := range map[string]struct {
		status   int
		body     string
		do, look messages.OutcomeKind
	}{
		"succeeded":       {200, ok, messages.OutcomeSucceeded, messages.OutcomeSucceeded},
		"pending":         {202, `{"operation_id":"ID","outcome":"pending"}`, messages.OutcomePending, messages.OutcomePending},
		"declined":        {402, declined, messages.OutcomeDeclined, messages.OutcomeDeclined},
		"requires action": {200, `{"operation_id":"ID","outcome":"requires_action","gateway_reference":"r","next_action":{"type":"redirect"}}`, messages.OutcomeRequiresAction, messages.OutcomeRequiresAction},

		"invalid request": {400, problem(protocol.CodeInvalidRequest), messages.OutcomeDeclined, messages.OutcomeUnknown},
		"unauthorized":    {401, problem(protocol.CodeUnauthorized), messages.OutcomeNotSent, messages.OutcomeUnknown},
		"not found":       {404, problem(protocol.CodeOperationNotFound), messages.OutcomeUnknown, messages.OutcomeNotFound},
		"in progress":     {409, problem(protocol.CodeInProgress), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"conflict":        {422, problem(protocol.CodeIdempotencyConflict), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"rate limited":    {429, problem(protocol.CodeRateLimited), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"internal":        {500, problem(protocol.CodeInternal), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"unavailable":     {503, problem(protocol.CodeUnavailable), messages.OutcomeUnknown, messages.OutcomeUnknown},

		"an empty body":                      {200, ``, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a page":                             {200, `<html>Welcome</html>`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"null":                               {200, `null`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"two values":                         {200, ok + ok, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"half a value":                       {200, ok[:20], messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a value and rubbish":                {200, ok + "x", messages.OutcomeUnknown, messages.OutcomeUnknown},
		"too long":                           {200, ok + strings.Repeat(" ", protocol.BodyBytesMax), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"another operation":                  {200, strings.Replace(ok, "ID", "other", 1), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"no operation":                       {200, `{"outcome":"succeeded"}`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an unknown outcome":                 {200, strings.Replace(ok, "succeeded", "maybe", 1), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an outcome that is ours to draw":    {200, strings.Replace(ok, "succeeded", "not_sent", 1), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"success with a decline's status":    {402, ok, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a decline with a success's status":  {200, declined, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a decline without a code":           {402, `{"operation_id":"ID","outcome":"declined"}`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"success with a decline code":        {200, `{"operation_id":"ID","outcome":"succeeded","decline_code":"lost_card"}`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a fraction of a minor unit":         {200, `{"operation_id":"ID","outcome":"succeeded","amount_minor":19.99}`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a code with another code's status":  {400, problem(protocol.CodeUnauthorized), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an unknown code":                    {400, problem("odd"), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"400 by something in between":        {400, `<html>Bad Request</html>`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"401 by something in between":        {401, ``, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"404 by something in between":        {404, `404 page not found`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"502 by something in between":        {502, `Bad Gateway`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a status without a meaning":         {299, ok, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"no content":                         {204, ``, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an error without an error":          {500, `{}`, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an answer under an error's status":  {500, ok, messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a problem under a success's status": {200, problem(protocol.CodeInvalidRequest), messages.OutcomeUnknown, messages.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := authorization()
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, strings.ReplaceAll(c.body, "ID", op.ID))
			})
			want(t, g.Do(t.Context(), op), c.do)
			want(t, g.Lookup(t.Context(), op), c.look)
		})
	}
}

func TestDeclinesAreClassified(t *testing.T) {
	t.Parallel()
	op := authorization()
	g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusPaymentRequired)
		_ = json.NewEncoder(w).Encode(protocol.Answer{
			OperationID: op.ID, Outcome: messages.OutcomeDeclined, DeclineCode: "insufficient_funds", NetworkDeclineCode: "51", NetworkAdviceCode: "25",
		})
	})
	decline := messages.Decline{
		Code: "insufficient_funds", Class: messages.DeclineSoft, NetworkDeclineCode: "51", NetworkAdviceCode: "25",
		RecommendedAction: messages.ActionRetryAfter24Hours,
	}
	if diff := cmp.Diff(&decline, g.Do(t.Context(), op).Decline); diff != "" {
		t.Errorf("decline (-want +got):\n%s", diff)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/v1/elsewhere", http.StatusTemporaryRedirect)
	})
	want(t, g.Do(t.Context(), authorization()), messages.OutcomeUnknown)
	if requests.Load() != 1 {
		t.Errorf("%d requests, want 1", requests.Load())
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, rest := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "1.5": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0,
		"4294967295": 24 * time.Hour, "99999999999999999999": 0,
	} {
		g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write(protocol.EncodeProblem(protocol.Problem{Code: protocol.CodeRateLimited}))
		})
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeUnknown || o.RetryAfter != rest {
			t.Errorf("Retry-After %q: %s with a rest of %s, want unknown with %s", header, o.Kind, o.RetryAfter, rest)
		}
	}
}

func TestServersWordsAreTrimmed(t *testing.T) {
	t.Parallel()
	g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(protocol.EncodeProblem(protocol.Problem{Code: protocol.CodeInternal, Message: "a\x00b\n" + strings.Repeat("é", 10000)}))
	})
	o := g.Do(t.Context(), authorization())
	if !strings.HasPrefix(o.Detail, "internal: abé") || len(o.Detail) > 1000 {
		t.Errorf("detail of %d bytes is %.40q", len(o.Detail), o.Detail)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]httpgw.Config{
		"no address":           {},
		"no scheme":            {URL: "gateway.example/pay"},
		"a scheme of its own":  {URL: "ftp://gateway.example"},
		"no host":              {URL: "https:///pay"},
		"a user":               {URL: "https://user:hunter2@gateway.example"},
		"a query":              {URL: "https://gateway.example?key=hunter2"},
		"a fragment":           {URL: "https://gateway.example#hunter2"},
		"a bad escape":         {URL: "https://gateway.example/hunter2%zz"},
		"negative connections": {URL: "https://gateway.example", ConnectionsMax: -1},
	} {
		_, err := httpgw.New(c)
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.invalid:3128")
	t.Setenv("http_proxy", "http://proxy.invalid:3128")
	var dialled string
	g := client(t, httpgw.Config{URL: "http://gateway.invalid", Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = address
		return nil, errors.New("far enough")
	}})
	want(t, g.Do(t.Context(), authorization()), messages.OutcomeNotSent)
	if dialled != "gateway.invalid:80" {
		t.Errorf("dialled %s, want the gateway itself", dialled)
	}
}
