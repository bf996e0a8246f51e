package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func transport(t *testing.T, c wire.Config) *http.Transport {
	t.Helper()
	line, err := wire.NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.CloseIdleConnections)
	return line
}

func get(ctx context.Context, t *testing.T, address string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Repeat("x", int(r.URL.Query().Get("n")[0]-'0')))
	}))
	t.Cleanup(s.Close)
	line := transport(t, wire.Config{})
	reply, err := wire.Send(line, get(t.Context(), t, s.URL+"?n=5"), 5)
	if err != nil || reply.Status != http.StatusTeapot || string(reply.Body) != "xxxxx" || wire.RetryAfter(reply.Header) != 7*time.Second {
		t.Errorf("%+v (%v)", reply, err)
	}
	_, err = wire.Send(line, get(t.Context(), t, s.URL+"?n=6"), 5)
	var failure *wire.ExchangeError
	if !errors.As(err, &failure) || !failure.Sent || failure.Late || !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("six bytes where five are wanted: %v", err)
	}
}

func TestOnlyWhatHadNoConnectionIsProvenNotSent(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	failing := errors.New("no name server")
	for name, c := range map[string]struct {
		ctx        context.Context
		dial       func(ctx context.Context, network, address string) (net.Conn, error)
		sent, late bool
	}{
		"the dial fails": {t.Context(), func(context.Context, string, string) (net.Conn, error) { return nil, failing }, false, false},
		"too late":       {canceled, nil, false, true},
		"the other end hangs up": {t.Context(), func(context.Context, string, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			return mine, theirs.Close()
		}, true, false},
	} {
		line := transport(t, wire.Config{Dial: c.dial})
		_, err := wire.Send(line, get(c.ctx, t, "http://gateway.invalid/"), 100)
		var failure *wire.ExchangeError
		if !errors.As(err, &failure) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if failure.Sent != c.sent || failure.Late != c.late {
			t.Errorf("%s: sent %t, late %t (%v); want %t, %t", name, failure.Sent, failure.Late, err, c.sent, c.late)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, rest := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "1.5": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0,
		"4294967295": 24 * time.Hour, "99999999999999999999": 0,
	} {
		if got := wire.RetryAfter(http.Header{"Retry-After": {header}}); got != rest {
			t.Errorf("Retry-After %q is %s, want %s", header, got, rest)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	if base, err := wire.ParseAddress("https://gateway.example/pay"); err != nil || base.Path != "/pay" {
		t.Errorf("%v (%v)", base, err)
	}
	for _, address := range []string{
		"", "gateway.example", "ftp://gateway.example", "https:///pay", "https://user:hunter2@gateway.example",
		"https://gateway.example?key=hunter2", "https://gateway.example#hunter2", "https://gateway.example/hunter2%zz",
	} {
		if _, err := wire.ParseAddress(address); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, c := range []wire.Config{{ConnectionsMax: -1}, {DialTimeout: -1}, {IdleTimeout: -1}} {
		if _, err := wire.NewTransport(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
