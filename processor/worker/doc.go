// Package worker takes commands from the bus and brings each to exactly one recorded outcome.
//
// A [Worker] fetches as many commands as it has slots. The way of one command reads in handling.go:
// decode, load, decide, commit, call the gateway, decide, commit, acknowledge. Any number of
// workers run, in any number of processes.
//
// The package owns the end of a delivery: acknowledged, handed back, or made a dead letter. It
// decides nothing about money (package payment does) and writes no SQL (package store does). It
// guarantees that a delivery is acknowledged only after its outcome is committed, and that a dead
// letter is stored before its original is given up.
package worker
