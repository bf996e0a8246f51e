package faulty

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Proxy forwards TCP connections from a loopback port to a server, for clients in other processes.
type Proxy struct {
	*Faults
	listener  net.Listener
	ctx       context.Context //nolint:containedctx // bounds the connections that it accepts
	cancel    context.CancelFunc
	accepting sync.WaitGroup
	stop      func() error

	mu     sync.Mutex
	target string
}

// Listen starts a proxy to target, a host:port that need not be reachable yet. It runs until Close,
// or until ctx ends.
func Listen(ctx context.Context, target string) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", target, err)
	}
	p := &Proxy{Faults: newFaults(), listener: listener, target: target}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.stop = sync.OnceValue(p.end)
	p.accepting.Go(p.accept)
	context.AfterFunc(ctx, func() { _ = p.stop() })
	return p, nil
}

// Addr returns the address of the proxy, as host:port. It stays the same.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetTarget names another server for connections from now on.
func (p *Proxy) SetTarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Close cuts the open connections and ends the proxy. Further calls return the same result.
func (p *Proxy) Close() error { return p.stop() }

func (p *Proxy) end() error {
	p.cancel()
	err := p.listener.Close()
	p.accepting.Wait()
	p.close()
	if err != nil {
		return fmt.Errorf("close the proxy to %s: %w", p.server(), err)
	}
	return nil
}

func (p *Proxy) server() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := newLink(p.Faults, client)
		if !p.admit(l) {
			reset(client)
			continue
		}
		go p.connect(l)
	}
}

// connect connects a link to its server. It cuts the client if the server does not accept.
func (p *Proxy) connect(l *link) {
	defer p.dismiss(l)
	if !l.passable() {
		return
	}
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.server())
	if err != nil {
		l.cut()
		return
	}
	l.serve(server)
}
