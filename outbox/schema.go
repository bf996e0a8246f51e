package outbox

import _ "embed"

//go:embed schema/0001.sql
var schemaV1 string

// SchemaV1 returns the SQL that creates the tables outbox and outbox_partition with their indexes.
// It holds several statements, takes no arguments and is to be run once, in a transaction, by the
// caller's own migrations. It names no schema: the tables land where search_path says. It will
// never change; what comes later is a SchemaV2.
//
// Rights: who appends needs INSERT on outbox and SELECT on outbox_partition. Who relays needs
// SELECT, UPDATE and DELETE on outbox, and SELECT and UPDATE on outbox_partition.
func SchemaV1() string { return schemaV1 }
