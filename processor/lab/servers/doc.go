// Package servers runs the servers that Tender needs, privately and for the life of one process: a
// PostgreSQL server, and a NATS server with JetStream inside the process. For faults it also runs
// a NATS cluster of processes, and it can kill, pause and replicate a PostgreSQL server or fill
// its disk.
//
// The package owns the folders, ports, passwords and users of these servers, and their end. It
// must not know payments, and production roles must not use it: tests and the commands of cmd that
// bring their own servers do.
//
// It guarantees that
//   - servers touch nothing outside: they listen on free loopback ports and keep their data in
//     separate folders;
//   - a server ends with the process that started it, even when that process is killed (on Linux
//     through the kernel, elsewhere through an orderly stop), and the next process removes the
//     files of a killed one;
//   - a missing program fails the run by name, and never skips a test;
//   - it works for root (PostgreSQL refuses root, so the server then runs as an unprivileged user)
//     and for other users.
//
// A package that tests against PostgreSQL calls Main in its TestMain. Its tests ask for databases
// and buses:
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		url := servers.Database(t) // or DatabaseWith, for content that many tests share
//		bus := servers.NATS(t)
//		...
//	}
package servers
