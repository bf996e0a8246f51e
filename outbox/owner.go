package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// ownerTimeout bounds each exchange on the connection that holds the locks. An owner that cannot
// reach PostgreSQL must know it before PostgreSQL gives its locks to another, see keepalive.
const ownerTimeout = 5 * time.Second

// lockSQL tries the partitions given and says which were won. The locks live in the key space of
// the table's own oid, so that outboxes in other schemas of the database have others. With no
// partitions left to try it is a heartbeat.
const lockSQL = `
SELECT p::smallint, pg_try_advisory_lock('outbox'::regclass::oid::int4, p)
FROM unnest($1::int4[]) AS p`

// owner holds partitions by session advisory locks on a connection of its own: what it owns ends
// with the connection.
type owner struct {
	relay   *Relay
	conn    *pgx.Conn
	lanes   []*lane
	lease   *lease
	missing []int32 // partitions still to win
}

// ownAndRelay connects, relays every partition it wins and keeps trying for the others. It returns
// after all its lanes have stopped: nil when ctx is done, else why ownership ended. owning is
// called whenever the locks were confirmed.
func (r *Relay) ownAndRelay(ctx context.Context, owning func()) error {
	conn, err := r.connectOwner(ctx)
	if err != nil {
		return err
	}
	o := &owner{relay: r, conn: conn, lease: &lease{span: r.cfg.LockRetryInterval + ownerTimeout, now: r.now}}
	for i := range r.cfg.Lanes {
		o.lanes = append(o.lanes, newLane(r, o.lease, i))
	}
	for p := range int32(Partitions) {
		o.missing = append(o.missing, p)
	}
	defer o.release(ctx)
	r.setLanes(o.lanes)
	defer r.setLanes(nil)

	// serving ends when lanes must take nothing new; work ends when they must drop what they are
	// at.
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var lanes sync.WaitGroup
	for _, l := range o.lanes {
		lanes.Go(func() {
			if err := l.run(serving, work); err != nil {
				stop(err)
			}
		})
	}
	err = o.hold(serving, owning)
	if cause := context.Cause(serving); cause != nil && ctx.Err() == nil {
		err = cause // a lane ended it
	}
	stop(err)
	if ctx.Err() != nil {
		grace := time.AfterFunc(r.cfg.DrainTimeout, abort)
		defer grace.Stop()
	} else {
		abort() // no longer the owner: another may already publish these rows
	}
	lanes.Wait()
	return err
}

// connectOwner opens the connection for the locks as the pool would have opened it.
func (r *Relay) connectOwner(ctx context.Context) (*pgx.Conn, error) {
	poolConfig := r.pool.Config()
	config := poolConfig.ConnConfig
	if poolConfig.BeforeConnect != nil {
		if err := poolConfig.BeforeConnect(ctx, config); err != nil {
			return nil, fmt.Errorf("prepare connection for outbox locks: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	keepalive(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect for outbox locks: %w", err)
	}
	if poolConfig.AfterConnect != nil {
		err = poolConfig.AfterConnect(ctx, conn)
	}
	if err == nil {
		_, err = conn.Exec(ctx, `LISTEN `+channel)
	}
	if err != nil {
		closeConn(ctx, conn)
		return nil, fmt.Errorf("listen for outbox rows: %w", err)
	}
	return conn, nil
}

// keepalive makes PostgreSQL find a vanished owner after about 10 + 3*5 s, later than the owner
// itself notices, which is after LockRetryInterval and ownerTimeout; and keeps it from closing the
// session because it is quiet.
func keepalive(config *pgx.ConnConfig) {
	for name, value := range map[string]string{
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
		"idle_session_timeout": "0",
	} {
		config.RuntimeParams[name] = value
	}
}

// hold keeps the locks and wakes the lanes until ctx is done (nil) or the connection is lost.
func (o *owner) hold(ctx context.Context, owning func()) error {
	for ctx.Err() == nil {
		if err := o.acquire(ctx); err != nil {
			return err
		}
		owning()
		if err := o.listen(ctx); err != nil {
			return err
		}
	}
	return nil
}

// acquire tries the missing partitions and hands those it wins to their lanes. It is not
// interrupted when ctx ends: that would close the connection, and give up partitions whose last
// batch is still in flight.
func (o *owner) acquire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ownerTimeout)
	defer cancel()
	asked := o.relay.now() // The locks were held at some time after this: an answer may lie unread during a stall.
	rows, err := o.conn.Query(ctx, lockSQL, o.missing)
	if err != nil {
		return fmt.Errorf("lock outbox partitions: %w", err)
	}
	var missing []int32
	won := make([][]int16, len(o.lanes)) // for each lane
	var partition int16
	var free bool
	_, err = pgx.ForEachRow(rows, []any{&partition, &free}, func() error {
		if !free {
			missing = append(missing, int32(partition))
			return nil
		}
		at := int(partition) % len(o.lanes)
		won[at] = append(won[at], partition)
		return nil
	})
	if err != nil {
		return fmt.Errorf("lock outbox partitions: %w", err)
	}
	o.missing = missing
	o.lease.confirm(asked)
	for i, partitions := range won {
		if len(partitions) > 0 {
			o.lanes[i].own(partitions)
			o.relay.owned.Add(int64(len(partitions)))
		}
	}
	return nil
}

// listen passes notifications on until it is time to check the locks again, or another owner gave
// partitions up.
func (o *owner) listen(ctx context.Context) error {
	period, cancel := context.WithTimeout(ctx, o.relay.cfg.LockRetryInterval)
	defer cancel()
	for {
		n, err := o.conn.WaitForNotification(period)
		switch {
		case err == nil && n.Payload == released:
			return nil
		case err == nil:
			for _, l := range o.lanes {
				l.signal()
			}
		case period.Err() != nil && !o.conn.IsClosed():
			return nil
		default:
			return fmt.Errorf("wait for outbox notifications: %w", err)
		}
	}
}

// release gives the partitions up and tells the standbys. When the connection is gone the locks
// are, too.
func (o *owner) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ownerTimeout)
	defer cancel()
	if !o.conn.IsClosed() {
		var b pgx.Batch
		b.Queue(`SELECT pg_advisory_unlock_all()`)
		b.Queue(`SELECT pg_notify('` + channel + `', '` + released + `')`)
		if err := o.conn.SendBatch(ctx, &b).Close(); err != nil {
			o.relay.log.Warn("outbox: partitions not handed over, a standby takes them when the session ends", zap.Error(err))
		}
	}
	closeConn(ctx, o.conn)
	o.relay.owned.Store(0)
}

// closeConn ends a session that holds nothing worth an error: the socket is closed, also if Close
// reports an error.
func closeConn(ctx context.Context, conn *pgx.Conn) { _ = conn.Close(ctx) }
