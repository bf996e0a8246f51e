// Package lab only documents the wing of the tree that builds, breaks and measures a whole Tender:
//
//   - servers starts private PostgreSQL and NATS servers;
//   - faulty injects faults into real connections;
//   - rig runs the processes of a whole system, with proxies between them, and breaks them on a
//     schedule;
//   - chaos publishes the load of such a run, records it, and judges the outcome from four sources;
//   - bench measures throughput and latency from outside, and bench/peer runs the same work with
//     Watermill, in a separate module;
//   - storetest gives tests migrated databases.
//
// One rule holds for imports: only tests and cmd/tenderlab import from the wing, besides its own
// packages. Production runs without it.
package lab
