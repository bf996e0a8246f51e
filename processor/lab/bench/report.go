package bench

import (
	"time"

	"github.com/seed-384b1f8a/tender/processor/store"
)

// Report is the result of a benchmark. The tags document its keys in JSON; see [Keys].
type Report struct {
	At       time.Time `json:"at" doc:"when the benchmark began"`
	Seconds  float64   `json:"seconds" doc:"duration of the benchmark in seconds"`
	Version  string    `json:"version" doc:"version of tender"`
	Quick    bool      `json:"quick" doc:"few payments: figures for a first impression"`
	Machine  Machine   `json:"machine" doc:"the machine"`
	Settings Settings  `json:"settings" doc:"settings of Tender and PostgreSQL"`

	Floor *Floor `json:"floor,omitempty" doc:"the minimum of work of PostgreSQL for these payments"`
	Runs  []Run  `json:"runs,omitempty" doc:"payments from a backlog, as fast as they go"`
	// FloorRatio is the throughput of the run named throughput divided by that of the floor.
	FloorRatio float64 `json:"floor_ratio,omitempty" doc:"payments/s of the run throughput, divided by the floor's"`
	// CPURatio and CPUFloorRatio hardly depend on other load of the machine.
	CPURatio      float64 `json:"cpu_ratio,omitempty" doc:"CPU time of the floor for a payment, divided by that of the run throughput: the floor_ratio of a machine that is short of CPU only"`
	CPUFloorRatio float64 `json:"postgres_cpu_ratio,omitempty" doc:"PostgreSQL's CPU time for a payment in the run throughput, divided by that of the floor"`
	SyncRatio     float64 `json:"sync_ratio,omitempty" doc:"payments/s of the run sync_always, divided by those of throughput"`
	// PreloadCostRatio compares CPU time.
	PreloadCostRatio float64   `json:"preload_cost_ratio,omitempty" doc:"CPU time for a payment in the run preload, divided by that in throughput"`
	Latencies        []Latency `json:"latencies,omitempty" doc:"payments that arrive at a fixed rate, independent of their outcome"`
	Clean            bool      `json:"clean" doc:"tender verify, the stream and the gateway's ledger compared as well, found nothing after any of the runs"`
}

// Floor is the result of MeasureFloor.
type Floor struct {
	Payments    int     `json:"payments" doc:"payments written"`
	Seconds     float64 `json:"seconds" doc:"duration in seconds"`
	PerSecond   float64 `json:"payments_per_second" doc:"payments/s"`
	Connections int     `json:"connections" doc:"connections that wrote at once"`
	BatchMax    int     `json:"batch_max" doc:"payments in one transaction: the faster of those tried"`
	WALBytes    int64   `json:"wal_bytes_per_payment" doc:"bytes of PostgreSQL's log for each payment"`
	CPU         CPU     `json:"cpu_seconds" doc:"CPU time by user; workers is the writer of the batches"`
}

// Run is one measurement of throughput.
type Run struct {
	Name      string  `json:"name" doc:"name of the run"`
	Gateway   string  `json:"gateway" doc:"latency of the gateway"`
	Processes int     `json:"processes" doc:"processes with a worker, a relay and a scheduler each"`
	Payments  int     `json:"payments" doc:"payments in the backlog, or processed of a larger one"`
	Commands  int     `json:"commands" doc:"commands that these took"`
	Waiting   int     `json:"waiting,omitempty" doc:"commands that waited when the run was ended"`
	Seconds   float64 `json:"seconds" doc:"from the first fetch to the last event on the stream"`
	PerSecond float64 `json:"payments_per_second" doc:"payments/s"`
	// Steady leaves out the wait for the slowest.
	Steady float64 `json:"steady_per_second,omitempty" doc:"payments/s until nine of ten had all their events"`
	// InFlightMax is that of the gateway, over all processes.
	InFlightMax int64 `json:"in_flight_max" doc:"calls to the gateway at the same time, at most"`
	SlotsMax    int   `json:"slots_max" doc:"commands in progress at the same time, at most, in each process"`

	CPU       CPU     `json:"cpu_seconds" doc:"CPU time by user; a value that cannot be read is left out"`
	CPUMicros float64 `json:"cpu_microseconds_per_payment,omitempty" doc:"CPU time for each payment: workers, NATS and PostgreSQL"`
	WALBytes  int64   `json:"wal_bytes_per_payment" doc:"bytes of PostgreSQL's log for each payment"`
	Allocs    float64 `json:"allocs_per_payment" doc:"allocations in the workers for each payment"`
	AllocB    float64 `json:"alloc_bytes_per_payment" doc:"bytes allocated in the workers for each payment"`
	RSSMax    int64   `json:"rss_max_bytes" doc:"memory of the largest worker process at its most"`

	Verify Verify `json:"verify" doc:"the result of tender verify --bus --ledger afterwards"`
}

// CPU is CPU time in seconds.
type CPU struct {
	Workers  float64 `json:"workers" doc:"the worker processes"`
	NATS     float64 `json:"nats,omitempty" doc:"the NATS server"`
	Postgres float64 `json:"postgres,omitempty" doc:"PostgreSQL, all its processes"`
}

// Total is the sum.
func (c CPU) Total() float64 { return c.Workers + c.NATS + c.Postgres }

// Verify is the summary of a run of tender verify.
type Verify struct {
	Clean      bool     `json:"clean" doc:"nothing was found"`
	Payments   int64    `json:"payments" doc:"payments checked"`
	Events     int64    `json:"events" doc:"events checked"`
	Messages   int64    `json:"messages,omitempty" doc:"messages on the stream of events that were compared"`
	Effects    int64    `json:"effects,omitempty" doc:"effects in the gateway's ledger that were compared"`
	Violations int64    `json:"violations" doc:"violations found"`
	Findings   []string `json:"findings,omitempty" doc:"the first of them"`
}

// Latency is one measurement of latency, from the due time of a command to the arrival of
// payment.captured.
type Latency struct {
	Name      string  `json:"name" doc:"name of the measurement"`
	PerSecond float64 `json:"rate_per_second" doc:"payments due each second, independent of earlier ones"`
	Seconds   float64 `json:"seconds" doc:"duration in seconds"`
	Payments  int     `json:"payments" doc:"payments published"`
	Missing   int     `json:"missing" doc:"payments whose event did not come in time"`
	P50       float64 `json:"p50_ms" doc:"milliseconds that half of the payments took at most"`
	P90       float64 `json:"p90_ms" doc:"the same for 90 of 100"`
	P99       float64 `json:"p99_ms" doc:"the same for 99 of 100"`
	P999      float64 `json:"p999_ms" doc:"the same for 999 of 1000"`
	Max       float64 `json:"max_ms" doc:"the longest"`
	Curve     []Point `json:"curve" doc:"the whole distribution, for a plot"`
	Verify    Verify  `json:"verify" doc:"the result of tender verify --bus --ledger afterwards"`
}

// Point is one point of a distribution.
type Point struct {
	Percentile float64 `json:"percentile" doc:"of a hundred payments"`
	Millis     float64 `json:"ms" doc:"milliseconds that they took at most"`
}

// Settings are the settings on which the figures depend.
type Settings struct {
	SlotsMax    int               `json:"slots_max" doc:"worker.slots_max, where a run says nothing else"`
	Committers  int               `json:"committers" doc:"store.committers"`
	BatchMax    int               `json:"batch_max" doc:"store.batch_max"`
	RelayBatch  int               `json:"relay_batch_max" doc:"outbox.batch_max"`
	Connections int               `json:"connections_max" doc:"postgres.max_conns"`
	NATS        string            `json:"nats" doc:"version of the NATS server"`
	OwnServers  bool              `json:"own_servers" doc:"NATS and PostgreSQL were started by the benchmark, on this machine"`
	Postgres    store.ServerFacts `json:"postgres" doc:"PostgreSQL's version and settings"`
}

// Finish computes the ratios between the runs.
func (r *Report) Finish() {
	r.Clean = true
	for i := range r.Runs {
		r.Clean = r.Clean && r.Runs[i].Verify.Clean
	}
	for i := range r.Latencies {
		r.Clean = r.Clean && r.Latencies[i].Verify.Clean
	}
	plain := r.Run(RunThroughput)
	if plain == nil || plain.PerSecond == 0 {
		return
	}
	if r.Floor != nil && r.Floor.PerSecond > 0 {
		r.FloorRatio = plain.PerSecond / r.Floor.PerSecond
	}
	if r.Floor != nil && r.Floor.CPU.Postgres > 0 && plain.CPU.Postgres > 0 {
		r.CPURatio = r.Floor.CPU.Total() / float64(r.Floor.Payments) / (plain.CPU.Total() / float64(plain.Payments))
		r.CPUFloorRatio = plain.CPU.Postgres / float64(plain.Payments) / (r.Floor.CPU.Postgres / float64(r.Floor.Payments))
	}
	if synced := r.Run(RunSyncAlways); synced != nil {
		r.SyncRatio = synced.PerSecond / plain.PerSecond
	}
	if full := r.Run(RunPreload); full != nil && plain.CPUMicros > 0 {
		r.PreloadCostRatio = full.CPUMicros / plain.CPUMicros
	}
}

// The names of runs that are compared.
const (
	RunThroughput = "throughput"
	RunSyncAlways = "sync_always"
	RunPreload    = "preload"
)

// Run returns the run of that name, or nil.
func (r *Report) Run(name string) *Run {
	for i := range r.Runs {
		if r.Runs[i].Name == name {
			return &r.Runs[i]
		}
	}
	return nil
}
