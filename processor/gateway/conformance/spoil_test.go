package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// said is one exchange with the simulator.
type said struct {
	lookup bool
	path   string
	// id is the operation's and tenant its tenant, also of a lookup.
	id, tenant string
	// op is the operation in the request; nil if that was no JSON object, and for a lookup.
	op map[string]any
	// contentType is that of the request until the simulator has answered, then that of the reply.
	contentType string
	// rewritten says that the simulator gets op, and not the very bytes that came.
	rewritten bool
	status    int
	body      string
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
	// event changes an event on its way, and the secret that it is signed with.
	event func(e *protocol.Event, secret *string)
	// deaf says that the simulator takes every event for told, also where the receiver refused it.
	deaf bool
	// forgets says that a restart loses everything.
	forgets bool
}

// spoil puts a defect in front of a server.
func spoil(d defect, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		s := &said{
			lookup: r.Method == http.MethodGet, path: r.URL.Path, tenant: r.URL.Query().Get(protocol.QueryTenant),
			contentType: r.Header.Get("Content-Type"),
		}
		if json.Unmarshal(body, &s.op) == nil && s.op != nil {
			s.id, _ = s.op["operation_id"].(string)
			s.tenant, _ = s.op["tenant"].(string)
		}
		if id, found := strings.CutPrefix(r.URL.Path, protocol.PathOperation); found {
			s.id = id
		}
		if d.asked != nil && (s.lookup || s.op != nil) {
			before := maps.Clone(s.op)
			d.asked(s)
			if s.op != nil && (s.rewritten || !reflect.DeepEqual(before, s.op)) {
				if body, err = json.Marshal(s.op); err != nil {
					panic(err)
				}
			}
		}
		if s.status == 0 {
			if s.lookup {
				r.URL.RawQuery = url.Values{protocol.QueryTenant: {s.tenant}}.Encode()
			}
			r.Header.Set("Content-Type", s.contentType)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			reply := httptest.NewRecorder()
			next.ServeHTTP(reply, r)
			s.status, s.body = reply.Code, reply.Body.String()
		}
		s.contentType = "application/json"
		if d.told != nil {
			d.told(s)
		}
		w.Header().Set("Content-Type", s.contentType)
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
	})
}

// forwardEvent sends an event on, signed anew, and returns the receiver's status.
func forwardEvent(client *http.Client, d defect, to string, r *http.Request) (int, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	e, err := protocol.DecodeEvent(body)
	if err != nil {
		return 0, err
	}
	secret := hookSecret
	if d.event != nil {
		d.event(&e, &secret)
	}
	if body, err = protocol.EncodeEvent(e); err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set(protocol.HeaderSignature, protocol.Sign(body, time.Now(), secret))
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
