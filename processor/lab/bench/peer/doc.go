// Command peer does the work of Tender for a payment with Watermill, tuned for speed, as a
// comparison for the benchmark. It is a separate module, so Watermill does not become a dependency
// of Tender.
//
//	peer run --nats URL --postgres URL   measure once, on servers that are there (default: private ones)
//	peer compare --tender COMMAND        measure both in turn, on equal servers, and print the ratio
//	peer tune                            measure with other settings, and print which are faster
//
// The README of this folder describes the work for a payment and the settings that were tried.
package main
