package store_test

import (
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

const (
	tenant      = storetest.Tenant
	servingRole = storetest.ServingRole
)

// The fixtures of storetest by short names.
var (
	start         = storetest.Start
	newPool       = storetest.NewPool
	asServingRole = storetest.AsServingRole
	newID         = storetest.NewID
	command       = storetest.Command
	create        = storetest.Create
	amount        = storetest.Amount
	env           = storetest.Env
	keyOf         = storetest.KeyOf
	claimOf       = storetest.ClaimOf
	change        = storetest.Change
	first         = storetest.First
	handle        = storetest.Handle
	succeeded     = storetest.Succeeded
	unknown       = storetest.Unknown
)

type answer = storetest.Answer

// bundle is a migrated database with one store on it.
type bundle struct{ *storetest.Bundle }

func setup(t testing.TB) *bundle { return &bundle{storetest.Setup(t)} }

func setupWith(t testing.TB, cfg store.Config) *bundle { return &bundle{storetest.SetupWith(t, cfg)} }
