package faulty_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

func TestARequestIsLostOrItsResponse(t *testing.T) {
	t.Parallel()
	lost := faulty.Trap{Match: faulty.Request("POST /pay"), Drop: true}
	answer := lost
	answer.Reply = faulty.Response()
	for arrives, trap := range map[int64]faulty.Trap{0: lost, 1: answer} {
		var seen atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				seen.Add(1)
			}
			_, _ = io.Copy(w, r.Body)
		}))
		t.Cleanup(s.Close)
		d := dialer(t)
		transport := &http.Transport{DialContext: d.DialContext}
		t.Cleanup(transport.CloseIdleConnections)
		send := func(method, path string) error {
			request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(`{"POST /pay":1}`))
			if err != nil {
				t.Fatal(err)
			}
			request.GetBody = nil // or it would be sent again
			response, err := transport.RoundTrip(request)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			return err
		}
		a := d.Arm(trap)
		for range 2 {
			if err := send(http.MethodPut, "/pay"); err != nil {
				t.Fatal(err)
			}
		}
		if fired(a) {
			t.Fatal("sprang at another request")
		}
		if err := send(http.MethodPost, "/payments"); err == nil {
			t.Error("answered, though it was lost")
		}
		<-a.Fired()
		if got := seen.Load(); got != arrives {
			t.Errorf("the server saw %d requests, want %d", got, arrives)
		}
		if err := send(http.MethodPost, "/payments"); err != nil {
			t.Errorf("after the trap: %v", err)
		}
	}
}
