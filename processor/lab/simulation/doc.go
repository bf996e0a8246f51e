// Package simulation runs payments through the whole of processing in one goroutine and in virtual
// time, from one seed.
//
// The money-safety core and the deliveries are the real ones. Around them are models: a store that
// loses answers, rows and moments; a bus that repeats, reorders and loses acknowledgements; workers
// that stop at any effect; gateways with ledgers of their own and every behaviour that the protocol
// allows; producers, customers and operators. A test holds the models of the store and the bus to
// the real ones.
//
// After each effect, and at rest, the simulation compares what the gateways moved with what is
// booked; see [Run]. A seed gives the same run each time, to the byte. The package starts no
// goroutine and reads no clock.
package simulation
