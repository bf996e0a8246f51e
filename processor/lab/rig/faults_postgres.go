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

// postgresFaults strike the server, the connections to it, and what others do in the same database.
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

func restartPostgres(how servers.Shutdown) func(context.Context, *Lab, *Stages) (string, error) {
	return func(ctx context.Context, l *Lab, _ *Stages) (string, error) {
		return "", l.postgres.Restart(ctx, how)
	}
}

// cutAfterCommit lets commits reach the server and breaks the connection before the answer.
func cutAfterCommit(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	const times = 10
	for i := range times {
		m := l.anyWorker()
		t := seen(faulty.ToServer, faulty.CommitWith(`"payment.`))
		t.Action = m.links.postgres.Cut
		if err := awaitTrap(ctx, m.links.postgres.Arm(t)); err != nil {
			return fmt.Sprintf("%d of %d times", i, times), err
		}
	}
	return fmt.Sprintf("%d times", times), nil
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

func lateCommits(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	const times, held = 3, 700 * time.Millisecond
	m := l.anyWorker()
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

func serializable(ctx context.Context, l *Lab, s *Stages) (string, error) {
	const lasting = 2500 * time.Millisecond
	set := func(sql string) error {
		err := l.asOwner(ctx, func(as *session) error { return as.exec(ctx, sql) })
		for _, w := range l.ways() {
			w.postgres.Cut() // the setting is taken on by new sessions
		}
		return err
	}
	if err := set("ALTER ROLE " + servingRole + " SET default_transaction_isolation = 'serializable'"); err != nil {
		return "", err
	}
	s.last(ctx, lasting)
	return fmt.Sprintf("for %s", lasting), set("ALTER ROLE " + servingRole + " RESET default_transaction_isolation")
}

// deadlocks lets calls pile up, so that one transaction writes several payments, and then locks those from the other end.
func deadlocks(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	const wanted, roundsMax = 3, 20
	l.delayGateways(700 * time.Millisecond)
	defer l.delayGateways(0)
	met, before := 0, 0
	err := l.asOwner(ctx, func(as *session) (err error) {
		if before, err = as.deadlocks(ctx); err != nil {
			return err
		}
		for range roundsMax {
			if err := l.lockBackwards(ctx); err != nil {
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

func idleInTransaction(ctx context.Context, l *Lab, s *Stages) (string, error) {
	const lasting = 2 * time.Second
	locked := 0
	err := l.asOwner(ctx, func(as *session) error {
		return as.inTransaction(ctx, func() error {
			var err error
			locked, err = as.count(ctx, `SELECT payment_id FROM payments ORDER BY updated_at DESC LIMIT 50 FOR UPDATE SKIP LOCKED`)
			s.last(ctx, lasting)
			return err
		})
	})
	return fmt.Sprintf("%d payments locked for %s", locked, lasting), err
}

func longTransaction(ctx context.Context, l *Lab, s *Stages) (string, error) {
	const lasting = 4 * time.Second
	err := l.asOwner(ctx, func(as *session) error {
		return as.inTransaction(ctx, func() error {
			err := as.exec(ctx, `CREATE TABLE IF NOT EXISTS lab_scratch (at timestamptz NOT NULL)`)
			if err == nil {
				err = as.exec(ctx, `INSERT INTO lab_scratch (at) SELECT now() FROM generate_series(1, 1000)`)
			}
			s.last(ctx, lasting)
			return err
		})
	})
	return fmt.Sprintf("for %s", lasting), err
}

func diskFull(ctx context.Context, l *Lab, s *Stages) (string, error) {
	const lasting = 3 * time.Second
	if err := l.postgres.FillDisk(0); err != nil {
		return "", err
	}
	s.last(ctx, lasting)
	if err := l.postgres.FreeDisk(); err != nil {
		return "", err
	}
	// Where the log had no room the server has ended or is recovering.
	return fmt.Sprintf("for %s", lasting), l.postgres.Up(ctx)
}

func restoredFromDump(ctx context.Context, l *Lab, _ *Stages) (detail string, err error) {
	if err := l.leaveAll(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, l.startAll(ctx)) }()
	file := filepath.Join(l.dir, "database.dump")
	if err := l.postgres.Dump(ctx, database, file); err != nil {
		return "", err
	}
	if err := errors.Join(l.postgres.DropDatabase(ctx, database), l.postgres.CreateDatabase(ctx, database)); err != nil {
		return "", err
	}
	return "", l.postgres.RestoreDump(ctx, database, file)
}

func failover(ctx context.Context, l *Lab, s *Stages) (string, error) {
	standby, err := l.postgres.Standby(ctx, servers.StandbyOptions{})
	if err != nil {
		return "", fmt.Errorf("make a replica: %w", err)
	}
	if err := l.postgres.AwaitSync(ctx); err != nil {
		return "", errors.Join(err, standby.Stop())
	}
	retry.Sleep(ctx, 2*time.Second)
	old, before := l.postgres, l.postgresAddr()
	s.strikes()
	if err := errors.Join(old.Kill(), standby.Promote(ctx)); err != nil {
		return "", errors.Join(err, standby.Stop())
	}
	l.moveTo(standby)
	return fmt.Sprintf("from %s to %s", before, l.postgresAddr()), nil
}
