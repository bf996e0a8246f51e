package term

import (
	"bytes"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Without a terminal there is a line every ten seconds, and none with --quiet.
func TestMeterTellsNowAndThen(t *testing.T) {
	t.Parallel()
	for quiet, want := range map[bool]string{
		false: "2000 of 11000 payments, 100/s, 1m30s left\n3000 of 4000 keys (claims), 300/s, 3s left\n", true: "",
	} {
		var stderr bytes.Buffer
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		c := &Env{Stderr: &stderr, Quiet: quiet, Now: func() time.Time { return now }}
		m := c.NewMeter()
		told := func(after time.Duration, p books.Progress) {
			now = now.Add(after)
			m.Update(p)
		}
		told(5*time.Second, books.Progress{Pass: "payments", Unit: "payments", Done: 1500, Total: 11000, Resumed: 1000})
		told(5*time.Second, books.Progress{Pass: "payments", Unit: "payments", Done: 2000, Total: 11000, Resumed: 1000})
		told(5*time.Second, books.Progress{Pass: "claims", Unit: "keys", Done: 1000, Total: 4000})
		told(5*time.Second, books.Progress{Pass: "claims", Unit: "keys", Done: 3000, Total: 4000})
		m.Clear()
		if got := stderr.String(); got != want {
			t.Errorf("quiet %v: got\n%swant\n%s", quiet, got, want)
		}
	}
}
