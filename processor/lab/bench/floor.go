package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/bench/floor"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// FloorConfig says what floor to measure. All fields are required.
type FloorConfig struct {
	// Payments is how many are written with each of BatchSizes.
	Payments int
	// Connections is how many connections write at once: as many as the pipeline's.
	Connections int
	// BatchSizes are how many payments to write at once; the fastest counts.
	BatchSizes []int
	// Gateway is the name of the gateway that the pipeline calls, so that the rows are alike.
	Gateway string
	Now     func() time.Time
	// ServerCPU is what PostgreSQL has used so far, 0 if that is not known.
	ServerCPU func() time.Duration
}

// floorRound is how many payments are encoded, which is not measured, and then written, which is.
const floorRound = 10_000

// MeasureFloor writes payments as fast as the database takes them. See package floor.
func MeasureFloor(ctx context.Context, pool *store.Pool, c FloorConfig) (Floor, error) {
	var best Floor
	for _, size := range c.BatchSizes {
		// Plans and connections are there before it counts.
		if _, err := writeFloor(ctx, pool, c, min(2*size*c.Connections, c.Payments), size, nil); err != nil {
			return Floor{}, err
		}
		f, err := measureFloor(ctx, pool, c, size)
		if err != nil {
			return Floor{}, err
		}
		if f.PerSecond > best.PerSecond {
			best = f
		}
	}
	return best, nil
}

func measureFloor(ctx context.Context, pool *store.Pool, c FloorConfig, size int) (Floor, error) {
	before, err := store.WALPosition(ctx, pool)
	if err != nil {
		return Floor{}, err
	}
	server := c.ServerCPU()
	wrote, err := writeFloor(ctx, pool, c, c.Payments, size, nil)
	if err != nil {
		return Floor{}, err
	}
	server = c.ServerCPU() - server
	after, err := store.WALPosition(ctx, pool)
	if err != nil {
		return Floor{}, err
	}
	return Floor{
		Payments: c.Payments, Seconds: wrote.took.Seconds(), PerSecond: rate(c.Payments, wrote.took),
		Connections: c.Connections, BatchMax: size, WALBytes: (after - before) / int64(c.Payments),
		CPU: CPU{Workers: wrote.cpu.Seconds(), Postgres: server.Seconds()},
	}, nil
}

// Fill writes payments that are not measured, so that the store is large.
func Fill(ctx context.Context, pool *store.Pool, c FloorConfig, progress func(written int)) error {
	for written := 0; written < c.Payments; {
		n := min(floorRound, c.Payments-written)
		if _, err := writeFloor(ctx, pool, c, n, c.BatchSizes[0], (*floor.Batches).OmitOutbox); err != nil {
			return err
		}
		written += n
		progress(written)
	}
	return nil
}

// effort is what the writing took, without the encoding.
type effort struct{ took, cpu time.Duration }

func writeFloor(
	ctx context.Context, pool *store.Pool, c FloorConfig, payments, batchSize int, prepare func(*floor.Batches),
) (effort, error) {
	var wrote effort
	for payments > 0 {
		n := min(payments, floorRound)
		unwritten := make([]floor.Payment, n)
		for i := range unwritten {
			var err error
			if unwritten[i], err = floorPayment(ctx, c); err != nil {
				return wrote, err
			}
		}
		batches, err := floor.Encode(unwritten, batchSize)
		if err != nil {
			return wrote, err
		}
		if prepare != nil {
			prepare(batches)
		}
		began, used := c.Now(), OwnUsage().CPU
		if err := batches.Write(ctx, pool, c.Connections); err != nil {
			return wrote, err
		}
		wrote.took += c.Now().Sub(began)
		wrote.cpu += OwnUsage().CPU - used
		payments -= n
	}
	return wrote, nil
}

// floorPayment is a create and the gateway's answer, decided as a worker would.
func floorPayment(ctx context.Context, c FloorConfig) (floor.Payment, error) {
	cmd, err := received()
	if err != nil {
		return nil, err
	}
	env := payment.Env{Now: c.Now(), Policy: payment.DefaultPolicy(), Route: func() payment.Route { return payment.Route{Gateway: c.Gateway, Rule: "default"} }}
	p := &payment.Payment{}
	begun := payment.Decide(p, cmd, env)
	if begun.Call == nil {
		return nil, fmt.Errorf("payment %s: the create is refused", cmd.PaymentID)
	}
	outcome := NewGateway(GatewayConfig{}).Do(ctx, begun.Call.Operation)
	outcome.Tries = 1
	settled := payment.Settle(begun.Payment, cmd, *begun.Call, outcome, env)
	return floor.Payment{
		{
			Payment: begun.Payment, Events: begun.Events, PreviousDueAt: p.DueAt(p.UpdatedAt),
			Claim: &store.Claim{
				Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
				OperationID: begun.OperationID(),
			},
		},
		{
			Payment: settled.Payment, Events: settled.Events, ExpectedVersion: begun.Payment.Version,
			PreviousDueAt: begun.Payment.DueAt(begun.Payment.UpdatedAt),
		},
	}, nil
}

// received is a create as it comes from the bus.
func received() (messages.Command, error) {
	create, err := NewCreate(messages.CaptureAutomatic)
	if err != nil {
		return messages.Command{}, err
	}
	msg, err := encode(create, time.Time{})
	if err != nil {
		return messages.Command{}, err
	}
	return messages.DecodeCommand(msg.Subject, msg.Header, msg.Data)
}

// PublishedPerPayment is how many events of a create with automatic capture go onto the bus, and
// stored how many into the history.
func PublishedPerPayment(ctx context.Context) (published, stored int, err error) {
	changes, err := floorPayment(ctx, FloorConfig{Gateway: "any", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	if err != nil {
		return 0, 0, err
	}
	for _, c := range changes {
		stored += len(c.Events)
		for i := range c.Events {
			if c.Events[i].Type().Published() {
				published++
			}
		}
	}
	return published, stored, nil
}

// rate is how many a second.
func rate(n int, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}
