package connector_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// The variables that make the test binary a connector process, and where its bus and its provider
// are.
const (
	busVariable      = "CONNECTOR_TEST_NATS"
	providerVariable = "CONNECTOR_TEST_PROVIDER"
)

func TestMain(m *testing.M) {
	if bus := os.Getenv(busVariable); bus != "" {
		if err := beConnector(bus, os.Getenv(providerVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(servers.Main(m))
}

// beConnector is the whole life of a connector process: until its standard input ends, or it is
// killed.
func beConnector(bus, provider string) error {
	g, err := httpgw.New(httpgw.Config{URL: provider})
	if err != nil {
		return err
	}
	nc, err := nats.Connect(bus)
	if err != nil {
		return err
	}
	running, err := connector.Start(nc, connector.Config{Name: "bank", Gateway: g})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return running.Stop(context.Background())
}

// instance starts a connector process and returns a function that kills it, once. It is there when
// instance returns.
func instance(t *testing.T, server *servers.NATSServer, provider string) func() {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), busVariable+"="+server.URL(), providerVariable+"="+provider)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // ends with this process in any case
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	t.Cleanup(kill)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the connector says %q: %v", line, err)
	}
	return kill
}

// bank is the provider behind the connectors, which outlives them.
func bank(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler(""))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return s, web.URL
}

// TestConnectorKilledInACall kills the process that has the call, when the provider has done the
// operation and when it has not.
func TestConnectorKilledInACall(t *testing.T) {
	t.Parallel()
	for method, effectsBefore := range map[string]int{"sim_charge_then_timeout": 1, "sim_timeout_no_charge": 0} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server := servers.NATS(t)
			s, provider := bank(t)
			kill := instance(t, server, provider)
			g := client(t, server)
			op := conformance.NewPayment().Charge(method, 1999)
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			answered := make(chan messages.Outcome, 1)
			go func() { answered <- g.Do(ctx, op) }()
			servers.Eventually(t, "the provider has the request", func() bool {
				count, _ := s.Snapshot().Operation(op.ID)
				return count.Requests == 1 && count.Effects == effectsBefore
			})
			kill()
			observer := server.Connect(t)
			servers.Eventually(t, "the service is gone", func() bool { return noListener(t, observer) })
			// A call that is not sent now says nothing of the one that is still waiting.
			want(t, g.Do(within(t), op), messages.OutcomeNotSent)
			giveUp()
			want(t, <-answered, messages.OutcomeUnknown)

			instance(t, server, provider)
			want(t, g.Do(within(t), op), messages.OutcomeSucceeded)
			want(t, g.Lookup(within(t), op), messages.OutcomeSucceeded)
			if count, _ := s.Snapshot().Operation(op.ID); count.Effects != 1 {
				t.Errorf("the operation took effect %d times", count.Effects)
			}
		})
	}
}

// TestConnectorsComeAndGo kills one of two instances again and again while they are busy. Every
// operation has one effect in the end, and no caller is told anything else.
func TestConnectorsComeAndGo(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	s, provider := bank(t)
	instance(t, server, provider)
	g := client(t, server)
	const operations, kills = 60, 3
	ops := make([]messages.Operation, operations)
	var all sync.WaitGroup
	for i := range ops {
		ops[i] = conformance.NewPayment().Charge("sim_slow_20", 1999)
		all.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				o := g.Do(ctx, ops[i])
				cancel()
				switch o.Kind {
				case messages.OutcomeSucceeded:
					return
				case messages.OutcomeUnknown, messages.OutcomeNotSent:
					if t.Context().Err() != nil {
						return
					}
				default:
					t.Errorf("operation %s is %s (%s)", ops[i].ID, o.Kind, o.Detail)
					return
				}
			}
		})
	}
	for n := range kills {
		kill := instance(t, server, provider)
		servers.Eventually(t, "the provider is busy", func() bool { return len(s.Snapshot().Operations) >= min(operations, 10*(n+1)) })
		kill()
	}
	all.Wait()
	for _, op := range ops {
		if count, _ := s.Snapshot().Operation(op.ID); count.Effects != 1 {
			t.Errorf("operation %s took effect %d times", op.ID, count.Effects)
		}
	}
}
