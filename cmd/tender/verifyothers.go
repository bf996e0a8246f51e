package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// otherBooks are what the database is to be compared with.
type otherBooks struct {
	bus bool
	// ledgers are the addresses of simulators by the names of their gateways.
	ledgers map[string]string
}

func (o *otherBooks) bind(flags *pflag.FlagSet) {
	flags.BoolVar(&o.bus, "bus", false, "compare the stream of events with the history, too; reads all of it")
	flags.StringToStringVar(&o.ledgers, "ledger", nil, "compare with the ledger of a simulator, as gateway=URL; may be repeated")
}

// compareOthers adds to the report what comes of comparing the database with the bus and with gateways.
func (c *cli) compareOthers(
	ctx context.Context, pool *pgxpool.Pool, others otherBooks, o books.CheckOptions, report *books.Report,
) error {
	if others.bus {
		compared, err := c.compareBus(ctx, pool, o)
		if err != nil {
			return err
		}
		compared.AddTo(report, o.FindingsMax)
	}
	if len(others.ledgers) > 0 {
		fetch, err := others.fetcher()
		if err != nil {
			return err
		}
		compared, err := audit.Gateways(ctx, pool, fetch, audit.GatewayOptions{
			FindingsMax: o.FindingsMax, ReversalsBefore: report.At.Add(-o.StaleAfter),
		})
		if err != nil {
			return err
		}
		compared.AddTo(report, o.FindingsMax)
	}
	return nil
}

func (c *cli) compareBus(ctx context.Context, pool *pgxpool.Pool, o books.CheckOptions) (compared audit.BusReport, err error) {
	options := audit.BusOptions{Workers: o.Workers, FindingsMax: o.FindingsMax}
	if o.Progress != nil {
		options.Progress = func(done, total int64) {
			o.Progress(books.Progress{Pass: "bus", Unit: "messages", Done: done, Total: total})
		}
	}
	err = c.withBus(func(b *link) error {
		compared, err = audit.Bus(ctx, pool, b.js, options)
		return err
	})
	return compared, err
}

// fetcher reads the ledgers anew each time.
func (o *otherBooks) fetcher() (audit.Ledgers, error) {
	for name, address := range o.ledgers {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usageError("--ledger %s: %q is not an http:// or https:// address", name, address)
		}
	}
	return func(ctx context.Context) (map[string]audit.Ledger, error) {
		found := make(map[string]audit.Ledger, len(o.ledgers))
		for name, address := range o.ledgers {
			ledger, err := audit.FetchLedger(ctx, http.DefaultClient, address)
			if err != nil {
				return nil, err
			}
			found[name] = ledger
		}
		return found, nil
	}, nil
}
