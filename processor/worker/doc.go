// Package processor is the pipeline: it takes commands from the bus and brings each to exactly one recorded outcome.
//
// A [Worker] reads as the way of one command: decode, load, decide, commit, call the gateway, decide, commit,
// acknowledge. A [Scheduler] turns due timers into commands, so that a retry is a message like any other. Both run in as many
// processes as there are.
//
// The package owns what happens to a delivery: acknowledged, handed back, or turned into a dead letter. It decides
// nothing about money (package payment does) and writes no SQL (package store does). It guarantees that a delivery is
// acknowledged only after its outcome is committed, and that a dead letter is stored before its original is given up.
package worker
