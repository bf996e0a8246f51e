package stripegw_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// server is a listener whose connections the test handles byte by byte.
type server struct {
	net.Listener
	connections atomic.Int64
}

func listen(t *testing.T, handle func(conn *net.TCPConn)) *server {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: listener}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // Closed by the end of the test.
			}
			s.connections.Add(1)
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(conn.(*net.TCPConn)) //nolint:forcetypeassert // The listener is one for TCP.
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return s
}

func (s *server) gateway(t *testing.T) *stripegw.Gateway {
	return newGateway(t, stripegw.Config{URL: "http://" + s.Addr().String()})
}

func readRequest(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

// written is the answer to an operation as it stands on the wire.
func written(t *testing.T, op messages.Operation, changes object) string {
	t.Helper()
	body, err := json.Marshal(intentOf(op, changes))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestRefusedConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	s := listen(t, func(*net.TCPConn) {})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g, p := s.gateway(t), followUp()
	for _, op := range []messages.Operation{gatewaytest.NewPayment().Authorize("pm_1", 1), p.Confirm(1), p.Capture(1), p.Void(), p.Refund(1)} {
		gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeNotSent)
		gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeUnknown)
		op.Attempt = 2
		gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeNotSent)
	}
}

// TestFaultAfterConnectingIsUnknown breaks an exchange at every stage after the connection is made,
// with a close and with a reset.
func TestFaultAfterConnectingIsUnknown(t *testing.T) {
	t.Parallel()
	op := gatewaytest.NewPayment().Authorize("pm_1", 1999)
	answer := written(t, op, nil)
	head := strings.Index(answer, "\r\n\r\n") + 4
	const beforeReading = "before reading"
	ends := map[string]func(conn *net.TCPConn){
		beforeReading:                   func(*net.TCPConn) {},
		"after one byte of the request": func(conn *net.TCPConn) { _, _ = io.ReadFull(conn, make([]byte, 1)) },
		"in the middle of the request":  func(conn *net.TCPConn) { _, _ = io.ReadFull(conn, make([]byte, 100)) },
		"after the request":             func(conn *net.TCPConn) { readRequest(bufio.NewReader(conn)) },
		"with something that is not HTTP": func(conn *net.TCPConn) {
			readRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "SSH-2.0-x\r\n\r\n")
		},
	}
	for _, at := range []int{1, 12, head - 1, head, head + 1, head + (len(answer)-head)/2, len(answer) - 1} {
		ends[fmt.Sprintf("after %d bytes of the answer", at)] = func(conn *net.TCPConn) {
			readRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer[:at])
		}
	}
	for name, end := range ends {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset %t", name, reset), func(t *testing.T) {
				t.Parallel()
				s := listen(t, func(conn *net.TCPConn) {
					if reset {
						_ = conn.SetLinger(0)
					}
					end(conn)
				})
				o := s.gateway(t).Do(t.Context(), op)
				if name == beforeReading && reset && o.Kind == messages.OutcomeNotSent {
					return // The reset was faster than the making of the connection.
				}
				gatewaytest.Want(t, o, messages.OutcomeUnknown)
				if n := s.connections.Load(); n != 1 {
					t.Errorf("%d connections were made for one call", n)
				}
			})
		}
	}
}

func TestTimeoutAfterConnectingIsUnknown(t *testing.T) {
	t.Parallel()
	op := gatewaytest.NewPayment().Authorize("pm_1", 1999)
	answer := written(t, op, nil)
	for name, part := range map[string]string{"before the answer": "", "in its head": answer[:20], "in its body": answer[:len(answer)-3]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			s := listen(t, func(conn *net.TCPConn) {
				readRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, part)
				cancel()
				<-done
			})
			t.Cleanup(func() { close(done) })
			gatewaytest.Want(t, s.gateway(t).Do(ctx, op), messages.OutcomeUnknown)
		})
	}
}

// TestDeadPooledConnectionIsUnknownAndNotRepeated shows that net/http does not send a payment again
// by itself, although its header has an idempotency key.
func TestDeadPooledConnectionIsUnknownAndNotRepeated(t *testing.T) {
	t.Parallel()
	p := followUp()
	for _, op := range []messages.Operation{gatewaytest.NewPayment().Authorize("pm_1", 1999), p.Capture(100), p.Void(), p.Refund(100)} {
		t.Run(string(op.Kind), func(t *testing.T) {
			t.Parallel()
			first := gatewaytest.NewPayment().Authorize("pm_1", 1999)
			answer := written(t, first, nil)
			var requests atomic.Int64
			s := listen(t, func(conn *net.TCPConn) {
				reader := bufio.NewReader(conn)
				for readRequest(reader) {
					if requests.Add(1) != 1 {
						return // Read, and perhaps done, but never answered.
					}
					_, _ = io.WriteString(conn, answer)
				}
			})
			g := s.gateway(t)
			gatewaytest.Want(t, g.Do(t.Context(), first), messages.OutcomeSucceeded)
			gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
			if requests.Load() != 2 || s.connections.Load() != 1 {
				t.Errorf("%d requests on %d connections, want 2 on 1", requests.Load(), s.connections.Load())
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/v1/elsewhere", http.StatusTemporaryRedirect)
	})
	op := gatewaytest.NewPayment().Authorize("pm_1", 1999)
	gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
	gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeUnknown)
	if requests.Load() != 2 {
		t.Errorf("%d requests, want 2", requests.Load())
	}
}

// TestNothingIsSentAfterAFailedLook: when an earlier attempt, or the customer's action, cannot be
// looked up, this one has moved nothing.
func TestNothingIsSentAfterAFailedLook(t *testing.T) {
	t.Parallel()
	p := followUp()
	for _, op := range []messages.Operation{
		gatewaytest.NewPayment().Authorize("pm_1", 1000), p.Confirm(1000), p.Capture(100), p.Void(), p.Refund(100),
	} {
		op.Attempt = 2
		g := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Errorf("%s %s after a failed look", r.Method, r.URL.Path)
			}
			w.Header().Set("Retry-After", "7")
			say(w, 429, failure("invalid_request_error", "code", "rate_limit"))
		})
		o := g.Do(t.Context(), op)
		gatewaytest.Want(t, o, messages.OutcomeNotSent)
		if o.RetryAfter != 7*time.Second {
			t.Errorf("%s: rest is %s, want 7s", op.Kind, o.RetryAfter)
		}
	}
}

// TestQuickTriesCarryOneKey puts the Guard around the gateway: its tries are the only ones, under
// one key.
func TestQuickTriesCarryOneKey(t *testing.T) {
	t.Parallel()
	op := gatewaytest.NewPayment().Authorize("pm_1", 1999)
	var keys []string
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) < 3 {
			w.Header().Set("Stripe-Should-Retry", "true")
			say(w, 500, failure("api_error"))
			return
		}
		say(w, 200, intentOf(op, nil))
	})
	guard, err := gateway.NewGuard("stripe", g, gateway.Settings{
		Timeouts: gateway.Timeouts{Authorize: time.Minute},
		Retry:    gateway.Retry{TriesMax: 3, Initial: time.Millisecond, Max: time.Millisecond, Total: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := guard.Do(t.Context(), op)
	gatewaytest.Want(t, o, messages.OutcomeSucceeded)
	if want := "acme/" + op.ID; o.Tries != 3 || !slices.Equal(keys, []string{want, want, want}) {
		t.Errorf("%d tries with the keys %v, want 3 with %s", o.Tries, keys, want)
	}
}
