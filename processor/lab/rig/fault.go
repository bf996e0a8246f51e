package rig

import (
	"context"
	"time"
)

// Class is what a fault strikes. Faults of different classes may happen at once.
type Class string

// The classes of faults.
const (
	ClassWorker   Class = "worker"
	ClassRelay    Class = "relay"
	ClassNATS     Class = "nats"
	ClassPostgres Class = "postgresql"
	ClassGateway  Class = "gateway"
	ClassClock    Class = "clock"
)

// Need is what a fault needs the lab to own; the servers that a person brings along are not struck.
type Need int

// The needs, to be combined.
const (
	NeedNATS Need = 1 << iota
	NeedPostgres
	NeedGateways
	// NeedSmallDisk is a file system that can be filled.
	NeedSmallDisk
)

// Fault is something that happens to the system.
type Fault struct {
	// Name is the fault's, in words with hyphens.
	Name string
	// About says in a line what happens.
	About string
	Class Class
	Needs Need
	// Alone says that it is not mixed with others: it stops the world, or changes what everything else stands on.
	Alone bool
	// Inject brings it about and puts it right again; it returns what was done, to whom. An error means that it could not be
	// brought about or put right.
	Inject func(ctx context.Context, l *Lab, s *Stages) (detail string, err error)
}

// Faults lists every fault there is, in the order of the way of a payment.
func Faults() []Fault {
	var all []Fault
	for _, of := range [][]Fault{workerFaults(), relayFaults(), natsFaults(), postgresFaults(), gatewayFaults(), clockFaults()} {
		all = append(all, of...)
	}
	return all
}

// Injection is one fault as it happened.
type Injection struct {
	Fault string `json:"fault"`
	Class Class  `json:"class"`
	// At and Until are counted from the start of the run.
	At    time.Duration `json:"at_ns"`
	Until time.Duration `json:"until_ns"`
	// Struck is when it was brought about, Healed when its cause was gone; from then until Until the system became well again.
	Struck time.Duration `json:"struck_ns"`
	Healed time.Duration `json:"healed_ns"`
	// With are the faults that happened at the same time.
	With   []string `json:"with,omitempty"`
	Detail string   `json:"detail"`
	// Problem is why it could not be brought about or put right, "" if it was.
	Problem string `json:"problem,omitempty"`
}
