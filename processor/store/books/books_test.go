package books_test

import (
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

const servingRole = storetest.ServingRole

// The fixtures of storetest by short names.
var (
	start     = storetest.Start
	newID     = storetest.NewID
	command   = storetest.Command
	create    = storetest.Create
	amount    = storetest.Amount
	first     = storetest.First
	handle    = storetest.Handle
	succeeded = storetest.Succeeded
)

// bundle is a migrated database with one store on it.
type bundle struct{ *storetest.Bundle }

func setup(t testing.TB) *bundle { return &bundle{storetest.Setup(t)} }
