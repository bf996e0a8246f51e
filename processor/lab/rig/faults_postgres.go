package rig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// postgresFaults strike the server and the connections to it, or come from other sessions in the
// same database.
func postgresFaults() []Fault {
	return []Fault{
		{
			Name: "postgres-restart", Class: ClassPostgres, Needs: NeedPostgres, About: "PostgreSQL is restarted in order",
			Inject: restartPostgres(servers.FastShutdown),
		},
		{
			Name: "postgres-crash", Class: ClassPostgres, Needs: NeedPostgres, About: "PostgreSQL is shut down at once, without a checkpoint, and recovers",
			Inject: restartPostgres(servers.ImmediateShutdown),
		},
		{
			Name: "cut-after-commit", Class: ClassPostgres, About: "connections break when a COMMIT has left and its answer has not come, ten times",
			Inject: cutAfterCommit,
		},
		{
			Name: "commits-out-of-order", Class: ClassPostgres, About: "commits of one worker are held back, so that rows with lower ids become visible later",
			Inject: lateCommits,
		},
		{
			Name: "serialization-failures", Class: ClassPostgres, Needs: NeedPostgres, About: "every transaction is serializable for a while",
			Inject: serializable,
		},
		{
			Name: "deadlocks", Class: ClassPostgres, Needs: NeedPostgres, About: "another session locks payments in the opposite order until PostgreSQL ends deadlocks",
			Inject: deadlocks,
		},
		{
			Name: "idle-in-transaction", Class: ClassPostgres, Needs: NeedPostgres, About: "another session holds locks on the newest payments and does nothing",
			Inject: idleInTransaction,
		},
		{
			Name: "long-transaction", Class: ClassPostgres, Needs: NeedPostgres, About: "a long writing transaction keeps vacuum and the checkpoint from going on",
			Inject: longTransaction,
		},
		{
			Name: "disk-full", Class: ClassPostgres, Needs: NeedPostgres | NeedSmallDisk, Alone: true, About: "the disk of PostgreSQL is full for a while",
			Inject: diskFull,
		},
		{
			Name: "restored-from-dump", Class: ClassPostgres, Needs: NeedPostgres, Alone: true,
			About: "Tender is stopped, the database dumped, dropped and restored from the dump, and Tender started", Inject: restoredFromDump,
		},
		{
			Name: "failover", Class: ClassPostgres, Needs: NeedPostgres, Alone: true,
			About: "PostgreSQL is killed and its streaming replica takes over", Inject: failover,
		},
	}
}

func restartPostgres(how servers.Shutdown) func(context.Context, *Rig, *Stages) (string, error) {
	return func(ctx context.Context, r *Rig, _ *Stages) (string, error) {
		return "", r.postgres.Restart(ctx, how)
	}
}

// cutAfterCommit lets commits reach the server and cuts the connection before the answer.
func cutAfterCommit(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	const times = 10
	for i := range times {
		m := r.anyWorker()
		t := seen(faulty.ToServer, faulty.CommitWith(`"payment.`))
		t.Action = m.links.postgres.Cut
		if err := awaitTrap(ctx, m.links.postgres.Arm(t)); err != nil {
			return fmt.Sprintf("%d of %d times", i, times), err
		}
	}
	return fmt.Sprintf("%d times", times), nil
}

func lateCommits(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	const times, held = 3, 700 * time.Millisecond
	m := r.anyWorker()
	for i := range times {
		t := seen(faulty.ToServer, faulty.CommitWith(`"payment.`))
		t.Hold, t.Action = true, func() { retry.Sleep(ctx, held) }
		if err := awaitTrap(ctx, m.links.postgres.Arm(t)); err != nil {
			return fmt.Sprintf("%d of %d times", i, times), err
		}
		retry.Sleep(ctx, held)
	}
	return fmt.Sprintf("%s, %d times by %s", m.Name, times, held), nil
}

func awaitTrap(ctx context.Context, t *faulty.Armed) error {
	limit := time.NewTimer(trapWait)
	defer limit.Stop()
	defer t.Disarm()
	select {
	case <-t.Fired():
		return nil
	case <-limit.C:
		return fmt.Errorf("the moment did not come within %s", trapWait)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func serializable(ctx context.Context, r *Rig, s *Stages) (string, error) {
	const lasting = 2500 * time.Millisecond
	set := func(sql string) error {
		err := asOwner(ctx, r, func(as *session) error { return as.exec(ctx, sql) })
		for _, w := range r.ways() {
			w.postgres.Cut() // only new sessions take the setting
		}
		return err
	}
	if err := set("ALTER ROLE " + servingRole + " SET default_transaction_isolation = 'serializable'"); err != nil {
		return "", err
	}
	s.last(ctx, lasting)
	return fmt.Sprintf("for %s", lasting), set("ALTER ROLE " + servingRole + " RESET default_transaction_isolation")
}

// deadlocks lets calls pile up, so that one transaction writes several payments, and then locks
// these payments in the opposite order.
func deadlocks(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	const wanted, roundsMax = 3, 20
	delayGateways(r, 700*time.Millisecond)
	defer delayGateways(r, 0)
	met, before := 0, 0
	err := asOwner(ctx, r, func(as *session) (err error) {
		if before, err = as.deadlocks(ctx); err != nil {
			return err
		}
		for range roundsMax {
			if err := lockBackwards(ctx, r); err != nil {
				return err
			}
			after, err := as.deadlocks(ctx)
			if met = after - before; err != nil || met >= wanted {
				return err
			}
		}
		return nil
	})
	if err == nil && met == 0 {
		err = fmt.Errorf("no deadlock in %d rounds", roundsMax)
	}
	return fmt.Sprintf("%d times", met), err
}

func idleInTransaction(ctx context.Context, r *Rig, s *Stages) (string, error) {
	const lasting = 2 * time.Second
	locked := 0
	err := asOwner(ctx, r, func(as *session) error {
		return as.inTransaction(ctx, func() error {
			var err error
			locked, err = as.count(ctx, `SELECT payment_id FROM payments ORDER BY updated_at DESC LIMIT 50 FOR UPDATE SKIP LOCKED`)
			s.last(ctx, lasting)
			return err
		})
	})
	return fmt.Sprintf("%d payments locked for %s", locked, lasting), err
}

func longTransaction(ctx context.Context, r *Rig, s *Stages) (string, error) {
	const lasting = 4 * time.Second
	err := asOwner(ctx, r, func(as *session) error {
		return as.inTransaction(ctx, func() error {
			err := as.exec(ctx, `CREATE TABLE IF NOT EXISTS rig_scratch (at timestamptz NOT NULL)`)
			if err == nil {
				err = as.exec(ctx, `INSERT INTO rig_scratch (at) SELECT now() FROM generate_series(1, 1000)`)
			}
			s.last(ctx, lasting)
			return err
		})
	})
	return fmt.Sprintf("for %s", lasting), err
}

func diskFull(ctx context.Context, r *Rig, s *Stages) (string, error) {
	const lasting = 3 * time.Second
	if err := r.postgres.FillDisk(0); err != nil {
		return "", err
	}
	s.last(ctx, lasting)
	if err := r.postgres.FreeDisk(); err != nil {
		return "", err
	}
	// A server without room for its log has ended or is recovering.
	return fmt.Sprintf("for %s", lasting), r.postgres.Up(ctx)
}

func restoredFromDump(ctx context.Context, r *Rig, _ *Stages) (detail string, err error) {
	if err := r.leaveAll(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.startAll(ctx)) }()
	file := filepath.Join(r.dir, "database.dump")
	if err := r.postgres.Dump(ctx, database, file); err != nil {
		return "", err
	}
	if err := errors.Join(r.postgres.DropDatabase(ctx, database), r.postgres.CreateDatabase(ctx, database)); err != nil {
		return "", err
	}
	return "", r.postgres.RestoreDump(ctx, database, file)
}

func failover(ctx context.Context, r *Rig, s *Stages) (string, error) {
	standby, err := r.postgres.Standby(ctx, servers.StandbyOptions{})
	if err != nil {
		return "", fmt.Errorf("make a replica: %w", err)
	}
	if err := r.postgres.AwaitSync(ctx); err != nil {
		return "", errors.Join(err, standby.Stop())
	}
	retry.Sleep(ctx, 2*time.Second)
	old, before := r.postgres, r.postgresAddr()
	s.strikes()
	if err := errors.Join(old.Kill(), standby.Promote(ctx)); err != nil {
		return "", errors.Join(err, standby.Stop())
	}
	r.moveTo(standby)
	return fmt.Sprintf("from %s to %s", before, r.postgresAddr()), nil
}
