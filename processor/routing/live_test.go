package routing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// single is a set with one rule to one gateway.
func single(gateway string) string {
	return "version: 1\nrules: [{name: set, to: [{gateway: " + gateway + "}]}]\n"
}

// instance is one process as far as routing goes.
type instance struct {
	*routing.Live
	logs *observer.ObservedLogs
	stop func()
}

// start watches with rules of one's own, until the test ends.
func start(t *testing.T, js jetstream.JetStream, interval time.Duration) instance {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	live, err := routing.NewLive(routing.LiveConfig{
		Configured: routing.To("primary"), Gateways: known(), Log: zap.New(core), CheckInterval: interval,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		live.Watch(ctx, js)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return instance{Live: live, logs: logs, stop: stop}
}

func (i instance) awaitLook(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	select {
	case <-i.Looked():
	case <-ctx.Done():
		t.Fatal("the bucket is never looked at")
	}
}

// await waits until the instance goes by a revision, 0 for the configured rules, and holds it to
// what that routes to.
func (i instance) await(t *testing.T, revision uint64, gateway string) {
	t.Helper()
	servers.Eventually(t, fmt.Sprintf("revision %d is in force", revision), func() bool { return i.InForce().Revision == revision })
	want := routing.SourceBucket
	if revision == 0 {
		want = routing.SourceConfiguration
	}
	if now := i.InForce(); now.Source != want || i.Route(facts()).Gateway != gateway {
		t.Fatalf("%+v routes to %+v, want %s", now, i.Route(facts()), gateway)
	}
}

// connect returns JetStream on the server. A request without a deadline gives up after two seconds.
func connect(t *testing.T, server *servers.NATSServer) jetstream.JetStream {
	t.Helper()
	nc := server.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	js, err := bus.JetStream(nc, 2*time.Second, jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// patient is the context for requests of the test itself, while the server runs.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func ensure(t *testing.T, js jetstream.JetStream, o routing.BucketOptions) bus.Change {
	t.Helper()
	change, err := routing.EnsureBucket(patient(t), js, o)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func replace(t *testing.T, js jetstream.JetStream, document string, revision uint64) uint64 {
	t.Helper()
	stored, err := routing.Replace(patient(t), js, []byte(document), revision)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestEveryInstanceFollowsTheBucket(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	ensure(t, js, routing.BucketOptions{})
	one, two := start(t, js, 0), start(t, js, 0)
	for _, i := range []instance{one, two} {
		i.awaitLook(t)
		i.await(t, 0, "primary")
	}

	first := replace(t, js, single("backup"), 0)
	for _, i := range []instance{one, two} {
		i.await(t, first, "backup")
	}
	// One that starts later knows before it routes its first payment.
	late := start(t, js, 0)
	late.awaitLook(t)
	late.await(t, first, "backup")

	second := replace(t, js, single("candidate"), first)
	for _, i := range []instance{one, two, late} {
		i.await(t, second, "candidate")
	}
	if err := routing.Remove(t.Context(), js, second); err != nil {
		t.Fatal(err)
	}
	for _, i := range []instance{one, two, late} {
		i.await(t, 0, "primary")
	}
	// What was removed is seen by one that starts after it, too, and can be set again.
	afresh := start(t, js, 0)
	afresh.awaitLook(t)
	afresh.await(t, 0, "primary")
	afresh.await(t, 0, "primary")
	third := replace(t, js, single("backup"), 0)
	afresh.await(t, third, "backup")
}

func TestABadSetIsRefusedAndTheLastGoodOneStays(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	ensure(t, js, routing.BucketOptions{})
	live := start(t, js, 20*time.Millisecond)
	good := replace(t, js, single("backup"), 0)
	live.await(t, good, "backup")

	bad := replace(t, js, single("nowhere"), good)
	servers.Eventually(t, "the bad set is refused", func() bool { return live.InForce().Refused == bad })
	now := live.InForce()
	var refused *routing.RefusedError
	if now.Revision != good || !errors.As(now.Reason, &refused) || refused.Mistakes[0].Line != 2 {
		t.Fatalf("%+v", now)
	}
	live.await(t, good, "backup")
	replaced := replace(t, js, single("candidate"), bad)
	live.await(t, replaced, "candidate")
	if now := live.InForce(); now.Refused != 0 || now.Reason != nil {
		t.Fatalf("%+v", now)
	}

	// One that starts with nothing but a bad set goes by its configuration.
	worse := replace(t, js, "rules", replaced)
	late := start(t, js, 0)
	late.awaitLook(t)
	late.await(t, 0, "primary")
	if late.InForce().Refused != worse {
		t.Fatalf("%+v", late.InForce())
	}
}

func TestWithoutABucketTheConfiguredRulesAreInForce(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	live := start(t, js, 20*time.Millisecond)
	live.awaitLook(t)
	live.await(t, 0, "primary")

	// The bucket is found when it comes.
	ensure(t, js, routing.BucketOptions{})
	first := replace(t, js, single("backup"), 0)
	live.await(t, first, "backup")

	// It is lost: no command changed the rules. It comes back with others under the same revision.
	if err := js.DeleteKeyValue(t.Context(), routing.Bucket); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the loss is noticed", func() bool { return live.logs.FilterMessageSnippet("is gone").Len() == 1 })
	live.await(t, first, "backup")
	ensure(t, js, routing.BucketOptions{})
	if again := replace(t, js, single("candidate"), 0); again != first {
		t.Fatalf("revision %d, want %d once more", again, first)
	}
	servers.Eventually(t, "the new rules are in force", func() bool { return live.Route(facts()).Gateway == "candidate" })
}

func TestTheWatchOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	js := connect(t, server)
	ensure(t, js, routing.BucketOptions{})
	live := start(t, js, 50*time.Millisecond)
	first := replace(t, js, single("backup"), 0)
	live.await(t, first, "backup")
	bad := replace(t, js, single("nowhere"), first)
	servers.Eventually(t, "the bad set is refused", func() bool { return live.InForce().Refused == bad })
	server.Down()
	servers.Eventually(t, "the outage is noticed", func() bool { return live.logs.FilterMessageSnippet("cannot watch").Len() > 0 })
	live.await(t, first, "backup")
	if err := server.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the bucket is watched again", func() bool { return live.logs.FilterMessageSnippet("watching the routing rules again").Len() > 0 })
	live.await(t, first, "backup")
	var second uint64
	servers.Eventually(t, "the server takes rules again", func() (stored bool) {
		var err error
		second, err = routing.Replace(t.Context(), js, []byte(single("candidate")), bad)
		if errors.Is(err, routing.ErrRevision) {
			// An attempt whose acknowledgement was lost has stored them.
			now, readErr := routing.Read(t.Context(), js)
			second, err = now.Revision, readErr
		}
		return err == nil
	})
	live.await(t, second, "candidate")
	// The bad set was shown once more, and said once.
	if n := live.logs.FilterMessageSnippet("refusing the routing rules").Len(); n != 1 {
		t.Errorf("the refusal is logged %d times", n)
	}
}

// TestASilentWatchIsNoticed takes the watch's consumer away on the server, so that it never says
// anything again.
func TestASilentWatchIsNoticed(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	ensure(t, js, routing.BucketOptions{})
	live := start(t, js, 100*time.Millisecond)
	live.awaitLook(t)
	stream, err := js.Stream(t.Context(), "KV_"+routing.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	names := stream.ConsumerNames(t.Context())
	for name := range names.Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if names.Err() != nil {
		t.Fatal(names.Err())
	}
	first := replace(t, js, single("backup"), 0)
	live.await(t, first, "backup")
	if live.logs.FilterMessageSnippet("anew").Len() == 0 {
		t.Error("the watch went on by itself: the test shows nothing")
	}
}

// TestTwoPeopleChangeTheRules holds that no command overwrites rules that its caller has not seen.
func TestTwoPeopleChangeTheRules(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	if _, err := routing.Read(t.Context(), js); !errors.Is(err, routing.ErrNoBucket) {
		t.Errorf("read without a bucket: %v", err)
	}
	if _, err := routing.Replace(t.Context(), js, nil, 0); !errors.Is(err, routing.ErrNoBucket) {
		t.Errorf("replace without a bucket: %v", err)
	}
	if err := routing.Remove(t.Context(), js, 1); !errors.Is(err, routing.ErrNoBucket) {
		t.Errorf("remove without a bucket: %v", err)
	}
	ensure(t, js, routing.BucketOptions{})
	if _, err := routing.Read(t.Context(), js); !errors.Is(err, routing.ErrNotStored) {
		t.Errorf("read of nothing: %v", err)
	}
	first := replace(t, js, single("backup"), 0)
	second := replace(t, js, single("candidate"), first)
	for _, stale := range []uint64{0, first} {
		if _, err := routing.Replace(t.Context(), js, []byte(single("primary")), stale); !errors.Is(err, routing.ErrRevision) {
			t.Errorf("replaced at revision %d: %v", stale, err)
		}
	}
	if err := routing.Remove(t.Context(), js, first); !errors.Is(err, routing.ErrRevision) {
		t.Errorf("removed at a stale revision: %v", err)
	}
	stored, err := routing.Read(t.Context(), js)
	if err != nil || stored.Revision != second || string(stored.Document) != single("candidate") || stored.StoredAt.IsZero() {
		t.Errorf("%+v, %v", stored, err)
	}
}

func TestEnsureBucket(t *testing.T) {
	t.Parallel()
	js := connect(t, servers.NATS(t))
	if got := ensure(t, js, routing.BucketOptions{CheckOnly: true}).String(); got != "bucket tender_routing: missing" {
		t.Error(got)
	}
	if got := ensure(t, js, routing.BucketOptions{}).String(); got != "bucket tender_routing: created" {
		t.Error(got)
	}
	if got := ensure(t, js, routing.BucketOptions{}).String(); got != "bucket tender_routing: unchanged" {
		t.Error(got)
	}
	kept := replace(t, js, single("backup"), 0)
	if _, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: routing.Bucket, History: 3, Compression: true}); err != nil {
		t.Fatal(err)
	}
	const differs = "description Another's -> Tender: the routing rules in force, over those of the configuration, history 3 -> 20, max_value_size -1 -> 131072"
	want := strings.Replace(differs, "Another's", "", 1)
	if got := ensure(t, js, routing.BucketOptions{CheckOnly: true}).String(); got != "bucket tender_routing: differs in "+want {
		t.Error(got)
	}
	if got := ensure(t, js, routing.BucketOptions{}).String(); got != "bucket tender_routing: updated "+want {
		t.Error(got)
	}
	status, err := js.KeyValue(t.Context(), routing.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := status.Status(t.Context()); err != nil || s.History() != 20 || !s.IsCompressed() {
		t.Errorf("%+v, %v", s, err)
	}
	if stored, err := routing.Read(t.Context(), js); err != nil || stored.Revision != kept {
		t.Errorf("%+v, %v", stored, err)
	}
}
