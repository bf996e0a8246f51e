// Package app assembles a process of Tender from its configuration: the connections to NATS and
// PostgreSQL, the gateways and their routing, and the roles.
//
// It is the seam between the command line and the roles. [Open] makes a [Process], Run plays its
// roles until the context ends and drains them. Commands that do one thing connect with [WithBus],
// [WithDatabase] and [WithStore]. The package translates the configuration into plain values for
// the packages below it; it decides nothing about payments and writes no SQL.
package app
