package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

func newGatewayList(c *cli) *cobra.Command {
	var watch bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Show where each gateway stands at every running worker",
		Long: `Ls asks every instance that plays the role of a worker where its gateways stand, and shows what they answer:

  STATE         closed: calls go through; open: none do; half_open: a few, to see whether it is back
  FAILURES      calls without an answer among those counted: of late, or when the breaker opened; declines are answers
  IN FLIGHT     calls under way, of as many as are allowed at once
  LEFT ALONE    until when the gateway asked not to be called (Retry-After)

Each instance judges for itself, so that one with a broken network does not keep the others from paying.`,
		Example: `  tender gateway ls
  tender gateway ls --watch
  tender gateway ls --json | jq 'select(.state != "closed")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBus(func(b *link) error {
				if watch {
					return c.watchGateways(cmd.Context(), b)
				}
				return c.listGateways(cmd.Context(), b, patience)
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing them as they change; with --json every report as it comes")
	cmd.Flags().DurationVar(&patience, "timeout", 2*time.Second, "longest wait for the first answer")
	return cmd
}

func (c *cli) listGateways(ctx context.Context, b *link, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reports, err := status.Collect(ctx, b.nc)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		c.remark("no worker answered within %s", patience)
	}
	if !c.json {
		text, err := gatewayTable(reports)
		if err == nil {
			_, err = c.stdout.Write(text)
		}
		return err
	}
	for _, r := range reports {
		if err := c.printJSON(r); err != nil {
			return err
		}
	}
	return nil
}

// gatewayTable shows reports to people.
func gatewayTable(reports []status.Report) ([]byte, error) {
	var text bytes.Buffer
	t := newTable(&text, "GATEWAY", "INSTANCE", "STATE", "SINCE", "FAILURES", "IN FLIGHT", "LEFT ALONE", "VERSION")
	for _, r := range reports {
		t.row(r.Gateway, r.Instance, string(r.State), moment(r.Since), fmt.Sprintf("%d of %d", r.Failures, r.Tries),
			fmt.Sprintf("%d of %d", r.InFlight, r.ConcurrencyMax), moment(r.RateLimitedUntil), r.Version)
	}
	err := t.flush()
	return text.Bytes(), err
}

// watchPace is how often a watched table is looked over when nothing comes, to drop instances that have gone.
const watchPace = time.Second

// watchGateways shows the gateways until it is interrupted: on a terminal the table in place, elsewhere the table anew
// whenever it has changed.
func (c *cli) watchGateways(ctx context.Context, b *link) (err error) {
	l, err := status.Listen(ctx, b.nc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Ask(); err != nil {
		return err
	}
	screen := gatewayScreen{cli: c, inPlace: fancy(c.stdout, c.environ)}
	for {
		r, err := nextReport(ctx, l)
		switch {
		case err == nil && c.json:
			err = c.printJSON(r)
		case err == nil:
			screen.board.Put(r, c.now())
			err = screen.show()
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			err = screen.show()
		}
		if err != nil {
			return err
		}
	}
}

// nextReport waits for a report, as long as a moment.
func nextReport(ctx context.Context, l *status.Listener) (status.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, watchPace)
	defer cancel()
	return l.Next(ctx)
}

// gatewayScreen is a table that is shown again when it has changed.
type gatewayScreen struct {
	*cli
	board   status.Board
	inPlace bool
	shown   []byte
}

func (s *gatewayScreen) show() error {
	if s.json {
		return nil
	}
	text, err := gatewayTable(s.board.Reports(s.now()))
	if err != nil || bytes.Equal(text, s.shown) {
		return err
	}
	before := ""
	switch {
	case s.inPlace:
		before = "\x1b[H\x1b[2J" // to the top left corner, and an empty screen
	case s.shown != nil:
		before = "\n"
	}
	s.shown = text
	_, err = fmt.Fprintf(s.stdout, "%s%s", before, text)
	return err
}
