package deadletter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// publishCommands publishes messages that stand for commands.
func publishCommands(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	for range n {
		if _, err := js.Publish(t.Context(), "payments.cmd.acme.create."+uuid.NewString(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

// settleCommands takes commands and acknowledges them.
func settleCommands(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(n)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		n--
	}
	if n != 0 {
		t.Fatalf("%d commands did not come: %v", n, batch.Error())
	}
}

// wantLetter expects one letter that says something, and one line at error level.
func wantLetter(t *testing.T, js jetstream.JetStream, logs *observer.ObservedLogs, reason string, sequence uint64, says string) {
	t.Helper()
	letters := list(t, js, deadletter.Filter{})
	if len(letters) != 1 || letters[0].Reason != reason || letters[0].StreamSequence != sequence || !strings.Contains(letters[0].Detail, says) {
		t.Errorf("the letters are %+v; want one about command %d, %s: %s", letters, sequence, reason, says)
	}
	if lines := logs.FilterLevelExact(zap.ErrorLevel).All(); len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["detail"].(string), says) {
		t.Errorf("the log at error level is %+v", lines)
	}
}

// Three commands that were acknowledged to their producers pass the stream's max_age while the
// workers are away.
func TestOursCommandsThatAgeOutAreReported(t *testing.T) {
	t.Parallel()
	_, js := startBus(t)
	core, logs := observer.New(zap.DebugLevel)
	watcher := deadletter.NewWatcher(js, deadletter.WatcherConfig{}, zap.New(core))
	publishCommands(t, js, 2)
	settleCommands(t, js, 2)
	publishCommands(t, js, 3)
	look := func(w *deadletter.Watcher) {
		t.Helper()
		if err := w.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look(watcher)
	if n := len(list(t, js, deadletter.Filter{})); n != 0 || watcher.Losses() != (deadletter.Losses{}) {
		t.Fatalf("%d letters while nothing is lost", n)
	}
	stream, err := js.Stream(t.Context(), messages.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxAge, config.Duplicates = 200*time.Millisecond, 100*time.Millisecond
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the commands age out", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
	look(watcher)
	wantLetter(t, js, logs, deadletter.ReasonAgedOut, 3, "commands 3 to 5 left the stream")
	if lost := watcher.Losses(); lost.AgedOut != 3 {
		t.Errorf("the losses are %+v, want 3 aged out", lost)
	}
	// Neither the same watcher nor one of another process tells it again.
	look(watcher)
	look(deadletter.NewWatcher(js, deadletter.WatcherConfig{}, zap.New(core)))
	wantLetter(t, js, logs, deadletter.ReasonAgedOut, 3, "commands 3 to 5 left the stream")
}

// Two commands are passed over by a consumer that was made anew with deliver=new.
func TestOursCommandsThatANewConsumerSkipsAreReported(t *testing.T) {
	t.Parallel()
	_, js := startBus(t)
	publishCommands(t, js, 2)
	if err := js.DeleteConsumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		t.Fatal(err)
	}
	config := bus.WorkerConsumer(bus.StreamOptions{})
	config.DeliverPolicy = jetstream.DeliverNewPolicy
	if _, err := js.CreateConsumer(t.Context(), messages.StreamCommands, config); err != nil {
		t.Fatal(err)
	}
	publishCommands(t, js, 1)
	core, logs := observer.New(zap.DebugLevel)
	watcher := deadletter.NewWatcher(js, deadletter.WatcherConfig{Interval: time.Millisecond}, zap.New(core))
	for range 2 {
		if err := watcher.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantLetter(t, js, logs, deadletter.ReasonSkipped, 1, "with delivery policy new: it passes over commands 1 to 2")
	if lost := watcher.Losses(); lost.Skipped != 2 || lost.AgedOut != 0 {
		t.Errorf("the losses are %+v, want 2 skipped", lost)
	}
}
