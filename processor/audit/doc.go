// Package audit compares the records of a live system in different places: the event store with
// the bus ([Bus]), and the event store with the gateways' own ledgers ([Gateways]).
// books.CheckInvariants checks the store by itself.
//
// It reads and changes nothing. It may run while payments are processed: it allows for work under
// way, which is no violation. It does not judge the severity of a violation; it names the
// invariant, the payment and the finding.
package audit
