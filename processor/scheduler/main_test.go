package scheduler_test

import (
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
