package deadletter_test

import (
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
