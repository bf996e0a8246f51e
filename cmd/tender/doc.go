// Command tender is Tender in production: the roles that process payments, and the commands by
// which people and scripts set it up, make payments, look at them and repair them. Its sibling
// tenderlab holds everything that needs servers of its own; tender links neither a NATS server nor
// the lab.
//
// Each subcommand is a type in a file of its own, which main.go lists. They print through package
// term and connect through package app, which also assembles the process that `tender serve` runs.
// This package decides nothing about payments and writes no SQL.
//
// It guarantees that results go to standard output and everything else to standard error; that no
// secret and no card number is printed; and that the exit code says what happened (see `tender help
// exit-codes`).
package main
