// Package servers runs the real parts that Tender needs, privately and for as long as one process wants them: a
// PostgreSQL server of its own and a NATS server with JetStream inside the process. For faults there are also a NATS
// cluster of processes, and a PostgreSQL server that is ended, held still, copied to a standby and short of disk.
//
// It owns where those servers live: their folders, ports, passwords, users and their end. It must not know anything of
// payments, and production roles must not use it: tests do, and the demo and dev commands.
//
// It guarantees that
//   - nothing outside is touched: servers listen on loopback ports that were free, their data is in folders of their own;
//   - nothing is left behind: a server ends with the process that started it, even when that process is killed (on Linux
//     the kernel sees to it; elsewhere an orderly stop does), and what a killed process left is swept away by the next one;
//   - what is missing fails by name, never by skipping;
//   - it works for root (PostgreSQL refuses root, so the server then runs as an unprivileged user) and for anyone else.
//
// A package that tests against PostgreSQL says so in its TestMain, and asks for a database or a bus where it needs one:
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		url := harness.Database(t) // or DatabaseWith, for what is the same in many of them
//		bus := harness.NATS(t)
//		...
//	}
package servers
