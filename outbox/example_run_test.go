package outbox_test

import (
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The example works on real servers.
func TestExample(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := shop(t.Context(), &out, servers.Database(t), servers.NATS(t).URL(), zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `orders.placed order-42:1 {"order":"order-42"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
