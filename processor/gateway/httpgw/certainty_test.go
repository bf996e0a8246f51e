package httpgw_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func authorization() messages.Operation {
	id := uuid.New()
	return messages.Operation{
		ID: id.String() + "-1", Kind: messages.OperationAuthorize, PaymentID: id, Tenant: "acme", Attempt: 1,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa",
	}
}

func client(t *testing.T, c httpgw.Config) *httpgw.Gateway {
	t.Helper()
	g, err := httpgw.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func want(t *testing.T, o messages.Outcome, kind messages.OutcomeKind) {
	t.Helper()
	if o.Kind != kind {
		t.Errorf("outcome is %s (%s), want %s", o.Kind, o.Detail, kind)
	}
}

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

func (s *server) url() string { return "http://" + s.Addr().String() }

// readRequest reads one request to its end.
func readRequest(conn io.Reader) { readFrom(bufio.NewReader(conn)) }

func readFrom(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

// breakOff makes the end of the connection a reset.
func breakOff(conn *net.TCPConn) { _ = conn.SetLinger(0) }

func answerTo(op messages.Operation) string {
	body := fmt.Sprintf(`{"operation_id":%q,"outcome":"succeeded","gateway_reference":"ref","amount_minor":1999}`, op.ID)
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestRefusedConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	s := listen(t, func(*net.TCPConn) {})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g := client(t, httpgw.Config{URL: s.url()})
	want(t, g.Do(t.Context(), authorization()), messages.OutcomeNotSent)
	want(t, g.Lookup(t.Context(), authorization()), messages.OutcomeUnknown)
}

func TestNameThatDoesNotResolveIsNotSent(t *testing.T) {
	t.Parallel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	dialer := net.Dialer{Resolver: resolver}
	g := client(t, httpgw.Config{URL: "http://gateway.invalid", Dial: dialer.DialContext})
	want(t, g.Do(t.Context(), authorization()), messages.OutcomeNotSent)
}

func TestTimeoutWhileDiallingIsNotSent(t *testing.T) {
	t.Parallel()
	dialling := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	g := client(t, httpgw.Config{
		URL: "http://gateway.invalid",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			close(dialling)
			<-released
			return nil, errors.New("too late")
		},
	})
	go func() {
		<-dialling
		cancel()
	}()
	want(t, g.Do(ctx, authorization()), messages.OutcomeNotSent)
	close(released)
}

func TestBrokenHandshakeIsNotSent(t *testing.T) {
	t.Parallel()
	s := listen(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, 100)) // A part of the ClientHello.
		breakOff(conn)
	})
	g := client(t, httpgw.Config{URL: "https://" + s.Addr().String()})
	want(t, g.Do(t.Context(), authorization()), messages.OutcomeNotSent)
}

func TestUntrustedCertificateIsNotSent(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	s.Config.ErrorLog = discard()
	s.StartTLS()
	t.Cleanup(s.Close)
	want(t, client(t, httpgw.Config{URL: s.URL}).Do(t.Context(), authorization()), messages.OutcomeNotSent)
	if requests.Load() != 0 {
		t.Error("the request arrived at a server that is not trusted")
	}
}

func TestTrustedCertificateIsSent(t *testing.T) {
	t.Parallel()
	op := authorization()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoken to in HTTP/%d, want 1", r.ProtoMajor)
		}
		_, _ = fmt.Fprintf(w, `{"operation_id":%q,"outcome":"succeeded","gateway_reference":"ref"}`, op.ID)
	}))
	t.Cleanup(s.Close)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs //nolint:forcetypeassert // httptest's own.
	g := client(t, httpgw.Config{URL: s.URL, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
}

func TestWaitingForAConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := listen(t, func(conn *net.TCPConn) {
		readRequest(conn)
		close(arrived)
		<-release
	})
	g := client(t, httpgw.Config{URL: s.url(), ConnectionsMax: 1})
	var first sync.WaitGroup
	first.Go(func() { want(t, g.Do(t.Context(), authorization()), messages.OutcomeUnknown) })
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	want(t, g.Do(ctx, authorization()), messages.OutcomeNotSent)
	close(release)
	first.Wait()
	if n := s.connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1 at most", n)
	}
}

// TestBrokenExchangeIsUnknown breaks the connection wherever it can break once there is one.
func TestBrokenExchangeIsUnknown(t *testing.T) {
	t.Parallel()
	op := authorization()
	answer := answerTo(op)
	head := strings.Index(answer, "\r\n\r\n") + 4
	const beforeReading = "before reading"
	ends := map[string]func(conn *net.TCPConn){
		beforeReading:                     func(*net.TCPConn) {},
		"after one byte of the request":   func(conn *net.TCPConn) { _, _ = io.ReadFull(conn, make([]byte, 1)) },
		"in the middle of the request":    func(conn *net.TCPConn) { _, _ = io.ReadFull(conn, make([]byte, 100)) },
		"after the request":               func(conn *net.TCPConn) { readRequest(conn) },
		"with something that is not HTTP": func(conn *net.TCPConn) { readRequest(conn); _, _ = io.WriteString(conn, "SSH-2.0-x\r\n\r\n") },
		"with only a promise of an answer": func(conn *net.TCPConn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		},
	}
	for _, at := range []int{1, 12, 17, head / 2, head - 1, head, head + 1, head + (len(answer)-head)/2, len(answer) - 1} {
		ends[fmt.Sprintf("after %d bytes of the answer", at)] = func(conn *net.TCPConn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, answer[:at])
		}
	}
	for name, end := range ends {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset %t", name, reset), func(t *testing.T) {
				t.Parallel()
				s := listen(t, func(conn *net.TCPConn) {
					if reset {
						breakOff(conn)
					}
					end(conn)
				})
				o := client(t, httpgw.Config{URL: s.url()}).Do(t.Context(), op)
				if name == beforeReading && reset && o.Kind == messages.OutcomeNotSent {
					return // The reset was faster than the making of the connection.
				}
				want(t, o, messages.OutcomeUnknown)
				if n := s.connections.Load(); n != 1 {
					t.Errorf("%d connections were made for one call", n)
				}
			})
		}
	}
}

func TestTimeoutAfterConnectingIsUnknown(t *testing.T) {
	t.Parallel()
	op := authorization()
	answer := answerTo(op)
	for name, send := range map[string]string{
		"before the answer": "", "in its head": answer[:20], "in its body": answer[:len(answer)-3],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			s := listen(t, func(conn *net.TCPConn) {
				readRequest(conn)
				_, _ = io.WriteString(conn, send)
				cancel()
				<-done
			})
			want(t, client(t, httpgw.Config{URL: s.url()}).Do(ctx, op), messages.OutcomeUnknown)
			close(done)
		})
	}
}

// TestDeadPooledConnectionIsUnknownAndNotRepeated shows that net/http does not send a payment again
// by itself.
func TestDeadPooledConnectionIsUnknownAndNotRepeated(t *testing.T) {
	t.Parallel()
	first, second := authorization(), authorization()
	var requests atomic.Int64
	s := listen(t, func(conn *net.TCPConn) {
		reader := bufio.NewReader(conn)
		for range 2 {
			if !readFrom(reader) {
				return
			}
			if requests.Add(1) != 1 {
				return // Read, and perhaps done, but never answered.
			}
			_, _ = io.WriteString(conn, answerTo(first))
		}
	})
	g := client(t, httpgw.Config{URL: s.url()})
	want(t, g.Do(t.Context(), first), messages.OutcomeSucceeded)
	want(t, g.Do(t.Context(), second), messages.OutcomeUnknown)
	if requests.Load() != 2 || s.connections.Load() != 1 {
		t.Errorf("%d requests on %d connections, want 2 on 1", requests.Load(), s.connections.Load())
	}
}

var _ gateway.Gateway = (*httpgw.Gateway)(nil)
