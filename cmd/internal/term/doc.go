// Package term is the command line that the programs tender and tenderlab share: the global flags,
// the configuration they lead to, signals, exit codes, and how results and errors are printed.
//
// It opens no connection and knows no subcommand. It guarantees that results go to standard output
// and everything else to standard error, that no text from the bus reaches a terminal with control
// characters in it, and that the exit code says what happened (see [ExitCode]).
package term
