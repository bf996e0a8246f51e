package routing_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// rights are what following the bucket takes, and what changing it takes, on a server that allows
// nothing else.
const rights = `
FOLLOW {
  publish: { allow: [
    "$JS.API.STREAM.INFO.KV_tender_routing"
    "$JS.API.CONSUMER.CREATE.KV_tender_routing.>"
    "$JS.API.CONSUMER.DELETE.KV_tender_routing.*"
    "$JS.API.DIRECT.GET.KV_tender_routing.$KV.tender_routing.rules"
    "$JS.FC.KV_tender_routing.>"
  ] }
  subscribe: { allow: ["_INBOX.>"] }
}
CHANGE {
  publish: { allow: [ "$JS.API.>", "$KV.tender_routing.>" ] }
  subscribe: { allow: ["_INBOX.>"] }
}
accounts {
  TENDER {
    jetstream: enabled
    users: [
      { user: "serve", password: "p", permissions: $FOLLOW }
      { user: "operator", password: "p", permissions: $CHANGE }
    ]
  }
}
`

// TestFewRightsAreEnough holds that a process which only follows the rules needs no right to change
// them.
func TestFewRightsAreEnough(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(rights), 0o600); err != nil {
		t.Fatal(err)
	}
	server := servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = file })
	as := func(user string) (*nats.Conn, jetstream.JetStream) {
		nc := server.Connect(t, nats.UserInfo(user, "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		return nc, servers.JetStream(t, nc)
	}
	nc, serve := as("serve")
	_, operator := as("operator")
	ensure(t, operator, routing.BucketOptions{})
	live := start(t, serve, time.Millisecond)
	live.awaitLook(t)
	live.await(t, 0, "primary")
	first := replace(t, operator, single("backup"), 0)
	live.await(t, first, "backup")
	second := replace(t, operator, single("candidate"), first)
	live.await(t, second, "candidate")
	if err := routing.Remove(t.Context(), operator, second); err != nil {
		t.Fatal(err)
	}
	live.await(t, 0, "primary")
	live.stop()
	// The server's refusals come before its answer to the flush.
	if err := nc.Flush(); err != nil || nc.LastError() != nil {
		t.Errorf("following was not allowed all it asked for: %v, %v", nc.LastError(), err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := routing.Replace(ctx, serve, []byte(single("primary")), 0); err == nil {
		t.Error("a user who may follow the rules may change them")
	}
}
