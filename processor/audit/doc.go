// Package audit holds what a live system claims in one place against what another place says: the event store against the bus
// ([Bus]), and the event store against the gateways' own ledgers ([Gateways]). What has to hold of the store by itself is
// books.CheckInvariants.
//
// It reads and changes nothing. It may run while payments are processed: what is under way at the moment is allowed for, and
// is no violation. It decides nothing about how bad a violation is; it names the invariant, the payment and what was found.
package audit
