// Command tender is every part of Tender in one program: the roles that process payments, and the commands by which people
// and scripts set it up, make payments, look at them and put things right.
//
// It owns the command line and all wiring: it reads the configuration, opens the connections, and passes plain values
// down. It decides nothing about payments and writes no SQL. main.go lists the subcommands; each has a file of its own.
// assemble.go is the seam between the command line and the roles: a process is opened, run until its context ends, and
// drained.
//
// It guarantees that results go to standard output and everything else to standard error; that no secret and no card
// number is printed; and that the exit code says what happened (see exit.go, or `tender help exit-codes`).
package main
