// Command peer does Tender's work for a payment the way one would write it with Watermill, as fast as that can be made, so that
// the benchmark has something to be held against. It is a module of its own: nothing of Watermill enters Tender's.
//
//	peer run --nats URL --postgres URL   measure once, on servers that are there (default: on its own)
//	peer compare --tender COMMAND        measure both in turn, on equal servers, and print the ratio
//	peer tune                            measure with other settings, and print which are faster
//
// The folder's README says what is done for a payment, and what was tried to make it faster.
package main
