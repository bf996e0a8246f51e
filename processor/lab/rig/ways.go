package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// Given are servers that the operator brings along, prepared for `tender serve`. No fault strikes
// these servers: only the processes of the rig and their links to the servers.
type Given struct {
	// NATSURL has one or more addresses, separated by commas, which may contain credentials.
	// PostgresURL is the address for the serving role.
	NATSURL, PostgresURL string
	// Gateways are the addresses of simulators, by gateway name.
	Gateways map[string]string
}

// Hosts lists all hosts to which the rig would connect.
func (g *Given) Hosts() ([]string, error) {
	addresses := append(strings.Split(g.NATSURL, ","), g.PostgresURL)
	for _, address := range g.Gateways {
		addresses = append(addresses, address)
	}
	var hosts []string
	for _, address := range addresses {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil || u.Hostname() == "" || u.Port() == "" {
			return nil, fmt.Errorf("an address has no host and port: %s", redacted(u, address))
		}
		hosts = append(hosts, u.Hostname())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// redacted returns an address without its password.
func redacted(u *url.URL, address string) string {
	if u == nil {
		return fmt.Sprintf("%d characters that are no URL", len(address))
	}
	return u.Redacted()
}

// NATSURL returns the addresses of NATS without proxies, separated by commas.
func (r *Rig) NATSURL() string {
	if r.options.Given != nil {
		return r.options.Given.NATSURL
	}
	return join(r.cluster.URLs())
}

// PostgresURL returns the address of the database without a proxy. Its user is the owner, or the
// serving role if the server was given.
func (r *Rig) PostgresURL() string {
	if r.options.Given != nil {
		return r.options.Given.PostgresURL
	}
	return r.postgres.URL(database)
}

// ProducersURL returns the addresses at which producers reach the cluster, separated by commas.
func (r *Rig) ProducersURL() string { return join(r.producers.natsURLs(r.NATSURL())) }

func (r *Rig) postgresAddr() string { return hostOf(r.PostgresURL()) }

func (r *Rig) natsAddrs() []string {
	var addresses []string
	for address := range strings.SplitSeq(r.NATSURL(), ",") {
		addresses = append(addresses, hostOf(address))
	}
	return addresses
}

// gatewayAddrs returns the addresses of the simulators, by name.
func (r *Rig) gatewayAddrs() map[string]string {
	addresses := map[string]string{}
	if r.options.Given != nil {
		for name, address := range r.options.Given.Gateways {
			addresses[name] = hostOf(address)
		}
	}
	for _, s := range r.simulators {
		addresses[s.name] = s.address
	}
	return addresses
}

func (r *Rig) gatewayNames() []string { return slices.Sorted(maps.Keys(r.gatewayAddrs())) }

// Ledgers reads the ledgers of the gateways, by name.
func (r *Rig) Ledgers(ctx context.Context) (map[string]audit.Ledger, error) {
	ledgers := map[string]audit.Ledger{}
	for name, address := range r.gatewayAddrs() {
		ledger, err := audit.FetchLedger(ctx, http.DefaultClient, "http://"+address)
		if err != nil {
			return nil, fmt.Errorf("read the ledger of %s: %w", name, err)
		}
		ledgers[name] = ledger
	}
	return ledgers, nil
}

// links are the proxies between one process and each of its servers.
type links struct {
	nats     []*faulty.Proxy // by node
	postgres *faulty.Proxy
	gateways map[string]*faulty.Proxy
}

// link opens the proxies of one process.
func (r *Rig) link(ctx context.Context) (opened *links, err error) {
	ctx = context.WithoutCancel(ctx) // proxies live until they are closed
	w := &links{gateways: map[string]*faulty.Proxy{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, address := range r.natsAddrs() {
		proxy, err := faulty.Listen(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("open a proxy before NATS: %w", err)
		}
		w.nats = append(w.nats, proxy)
	}
	if w.postgres, err = faulty.Listen(ctx, r.postgresAddr()); err != nil {
		return nil, fmt.Errorf("open a proxy before PostgreSQL: %w", err)
	}
	for name, address := range r.gatewayAddrs() {
		if w.gateways[name], err = faulty.Listen(ctx, address); err != nil {
			return nil, fmt.Errorf("open a proxy before the gateway %s: %w", name, err)
		}
	}
	return w, nil
}

// ways returns the links of every process.
func (r *Rig) ways() []*links {
	ways := []*links{r.producers}
	if r.drifter != nil {
		ways = append(ways, r.drifter.links)
	}
	for _, m := range r.members {
		ways = append(ways, m.links)
	}
	return ways
}

// natsURLs returns the addresses of NATS with the proxies of this process in place of the servers.
func (w *links) natsURLs(addresses string) []string {
	var urls []string
	for i, address := range strings.Split(addresses, ",") {
		urls = append(urls, throughProxy(strings.TrimSpace(address), w.nats[i].Addr()))
	}
	return urls
}

// postgresURL returns the address with the proxy of this process in place of the server.
func (w *links) postgresURL(address string) string { return throughProxy(address, w.postgres.Addr()) }

// all returns the proxies in no particular order.
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

// throughProxy returns an address with another host and port.
func throughProxy(address, hostport string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(fmt.Sprintf("an address that was read before: %v", err))
	}
	u.Host = hostport
	return u.String()
}

// hostOf returns the host and port of an address.
func hostOf(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		panic(fmt.Sprintf("an address that was read before: %v", err))
	}
	return u.Host
}

func join(urls []string) string { return strings.Join(urls, ",") }
