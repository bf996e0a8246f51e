package rig

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// links are the ways of one process to everything else, each through a proxy of its own.
type links struct {
	nats     []*faulty.Proxy // by node
	postgres *faulty.Proxy
	gateways map[string]*faulty.Proxy
}

// link opens the ways of a process.
func (l *Lab) link(ctx context.Context) (opened *links, err error) {
	ctx = context.WithoutCancel(ctx) // proxies live until they are closed
	w := &links{gateways: map[string]*faulty.Proxy{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, address := range l.natsAddrs() {
		proxy, err := faulty.Listen(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("stand before NATS: %w", err)
		}
		w.nats = append(w.nats, proxy)
	}
	if w.postgres, err = faulty.Listen(ctx, l.postgresAddr()); err != nil {
		return nil, fmt.Errorf("stand before PostgreSQL: %w", err)
	}
	for name, address := range l.gatewayAddrs() {
		if w.gateways[name], err = faulty.Listen(ctx, address); err != nil {
			return nil, fmt.Errorf("stand before the gateway %s: %w", name, err)
		}
	}
	return w, nil
}

// natsURLs are the addresses of NATS with this process's proxies in place of the servers.
func (w *links) natsURLs(addresses string) []string {
	var urls []string
	for i, address := range strings.Split(addresses, ",") {
		urls = append(urls, throughProxy(strings.TrimSpace(address), w.nats[i].Addr()))
	}
	return urls
}

// postgresURL is the address with this process's proxy in place of the server.
func (w *links) postgresURL(address string) string { return throughProxy(address, w.postgres.Addr()) }

// all are the proxies in no particular order.
func (w *links) all() []*faulty.Proxy {
	all := append([]*faulty.Proxy{}, w.nats...)
	if w.postgres != nil {
		all = append(all, w.postgres)
	}
	for _, proxy := range w.gateways {
		if proxy != nil {
			all = append(all, proxy)
		}
	}
	return all
}

func (w *links) close() error {
	var errs []error
	for _, proxy := range w.all() {
		errs = append(errs, proxy.Close())
	}
	return errors.Join(errs...)
}
