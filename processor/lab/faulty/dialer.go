package faulty

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"
)

// dialTimeout bounds Dial.
const dialTimeout = 2 * time.Second

// Dialer makes connections of this process. DialContext serves as the DialFunc of pgx and as the
// DialContext of http.Transport; the Dialer itself serves as the custom dialer of nats.go.
type Dialer struct{ *Faults }

// NewDialer returns a dialer without faults. The caller closes it.
func NewDialer() *Dialer { return &Dialer{Faults: newFaults()} }

// DialContext connects to addr, a host:port. ctx bounds the attempt, also during a partition. The
// error of a refused connection is ECONNREFUSED.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l := newLink(d.Faults, theirs)
	if !d.admit(l) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	server, err := d.dial(ctx, l, network, addr)
	if err != nil {
		l.cut()
		d.dismiss(l)
		return nil, err
	}
	go func() {
		defer d.dismiss(l)
		l.serve(server)
	}()
	return ours, nil
}

func (d *Dialer) dial(ctx context.Context, l *link, network, addr string) (net.Conn, error) {
	select {
	case <-d.flowing():
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNRESET}
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s through a partition: %w", addr, ctx.Err())
	}
	return new(net.Dialer).DialContext(ctx, network, addr) //nolint:wrapcheck // as from a net.Dialer
}

// Dial is DialContext for nats.go, bounded by two seconds.
func (d *Dialer) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	return d.DialContext(ctx, network, addr)
}

// Close cuts the open connections, and refuses all new ones. It may be repeated.
func (d *Dialer) Close() { d.close() }
