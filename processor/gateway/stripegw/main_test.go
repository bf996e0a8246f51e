package stripegw_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// mockVersion is the stripe-mock that the tests run: Stripe's own server of fixtures, which checks
// every request against the description of the API.
const mockVersion = "v0.203.0"

// mockURL is its address, from before the first test to after the last.
var mockURL string

func TestMain(m *testing.M) { goleak.VerifyTestMain(withMock{m}) }

// withMock runs the tests beside a stripe-mock.
type withMock struct{ tests *testing.M }

// Run implements goleak.TestingM. Without the mock nothing runs: that is a failure.
func (w withMock) Run() int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	stop, err := startMock(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start stripe-mock:", err)
		return 1
	}
	defer stop()
	return w.tests.Run()
}

// underShell runs a program until its input ends, which it does with the process that holds the
// other end, however that ends.
const underShell = `exec 3<&0
"$0" "$@" 3<&- & program=$!
(read -r _ <&3; kill $program 2>/dev/null) >/dev/null 2>&1 &
wait $program`

// startMock builds and starts a stripe-mock on a free port, and sets mockURL.
func startMock(ctx context.Context) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "stripe-mock-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	install := exec.CommandContext(ctx, "go", "install", "github.com/stripe/stripe-mock@"+mockVersion)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install: %w\n%s", err, out)
	}
	heard := &listener{found: make(chan struct{})}
	mock := exec.Command("sh", "-c", underShell, filepath.Join(dir, "stripe-mock"), "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	mock.Stdout, mock.Stderr, mock.WaitDelay = heard, heard, time.Second
	life, err := mock.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := mock.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = mock.Wait()
	}()
	stop = func() {
		_ = life.Close()
		<-ended
		_ = os.RemoveAll(dir)
	}
	select {
	case <-heard.found:
		mockURL = "http://" + heard.address
		return stop, nil
	case <-ended:
		err = errors.New("it ended: " + heard.said.String())
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	return nil, err
}

// listener reads the address from the mock's output, and forgets the rest.
type listener struct {
	mu      sync.Mutex
	said    bytes.Buffer
	address string
	found   chan struct{}
}

var listening = regexp.MustCompile(`Listening for HTTP at address: (\S+)\n`)

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.address != "" {
		return io.Discard.Write(p)
	}
	l.said.Write(p)
	if match := listening.FindSubmatch(l.said.Bytes()); match != nil {
		l.address = string(match[1])
		close(l.found)
	}
	return len(p), nil
}
