package rig

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-384b1f8a/tender/messages"
)

// Given are the servers of somebody who has their own. They are prepared for tender serve already, and no fault strikes the servers
// themselves: only the processes of the lab and their ways to the servers.
type Given struct {
	// NATSURL has one or more addresses, separated by commas; credentials may stand in them. PostgresURL is that of the role that serves.
	NATSURL, PostgresURL string
	// Gateways are the addresses of simulators, by the names that the gateways have here.
	Gateways map[string]string
}

// Hosts are all hosts that the lab would speak to.
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

// redacted is an address without its password.
func redacted(u *url.URL, address string) string {
	if u == nil {
		return fmt.Sprintf("%d characters that are no URL", len(address))
	}
	return u.Redacted()
}

// useGiven connects to the servers that were given. The streams and the schema are there already: the processes say so if not.
func (l *Lab) useGiven(ctx context.Context) error {
	if err := l.connect(); err != nil {
		return err
	}
	stream, err := l.js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return fmt.Errorf("open %s (has `tender provision` been run?): %w", messages.StreamCommands, err)
	}
	l.window, l.servingURL = stream.CachedInfo().Config.Duplicates, l.options.Given.PostgresURL
	if _, err := l.Ledgers(ctx); err != nil {
		return fmt.Errorf("only simulators may be used, whose ledgers can be read: %w", err)
	}
	if l.webhookAddr, err = freeAddr(ctx); err != nil {
		return err
	}
	l.options.Step("the NATS, PostgreSQL and simulators that were given")
	return nil
}

// owns are the needs that this lab can meet.
func (l *Lab) owns() Need {
	owned := NeedNATS | NeedPostgres | NeedGateways
	if l.options.Given != nil {
		owned = 0
	}
	if l.smallDisk {
		owned |= NeedSmallDisk
	}
	return owned
}

// Possible divides faults into those that can be brought about here and the names of those that can't.
func (l *Lab) Possible(ctx context.Context, faults []Fault) (possible []Fault, impossible []string) {
	strangers := l.options.Given != nil && !l.relays(ctx)
	for _, f := range faults {
		if f.Needs&^l.owns() != 0 || strangers && f.Class == ClassRelay {
			impossible = append(impossible, f.Name)
		} else {
			possible = append(possible, f)
		}
	}
	return possible, impossible
}

// relays reports whether a process of the lab publishes, rather than somebody else's.
func (l *Lab) relays(ctx context.Context) bool {
	_, err := l.relayAtWork(ctx)
	return err == nil
}

// throughProxy is an address with another host and port.
func throughProxy(address, hostport string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(fmt.Sprintf("an address that was read before: %v", err))
	}
	u.Host = hostport
	return u.String()
}

// hostOf is the host and port of an address.
func hostOf(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		panic(fmt.Sprintf("an address that was read before: %v", err))
	}
	return u.Host
}
