package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

func newGateway(e *term.Env) *cobra.Command {
	gateways := &cobra.Command{
		Use:     "gateway",
		Short:   "Show the state of gateways, and test gateway servers",
		Example: "  tender gateway ls\n  tender gateway conformance --url http://127.0.0.1:8585",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	gateways.AddCommand(newGatewayList(e), newGatewayConformance(e), newGatewayOpenAPI(e))
	return gateways
}

// gatewayList is `tender gateway ls`.
type gatewayList struct {
	*term.Env
	watched  bool
	patience time.Duration
}

func newGatewayList(e *term.Env) *cobra.Command {
	c := &gatewayList{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Show the state of each gateway at every running worker",
		Long: `Ls asks every instance that plays the role of a worker for the state of its gateways, and
shows their answers:

  STATE         closed: calls go through; open: none do; half_open: a few do, as probes
  FAILURES      calls without an answer among those counted: in the current window, or
                when the breaker opened; declines are answers
  IN FLIGHT     calls in progress, of the number allowed at once
  LEFT ALONE    the time until which the gateway asked not to be called (Retry-After)

Each instance judges for itself, so one with a broken network does not stop the others.`,
		Example: `  tender gateway ls
  tender gateway ls --watch
  tender gateway ls --json | jq 'select(.state != "closed")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.WithBus(c.Env, func(b *app.Bus) error {
				if c.watched {
					return c.watch(cmd.Context(), b)
				}
				return c.run(cmd.Context(), b)
			})
		},
	}
	cmd.Flags().BoolVar(&c.watched, "watch", false, "show them again whenever they change; with --json every report")
	cmd.Flags().DurationVar(&c.patience, "timeout", 2*time.Second, "longest wait for the first answer")
	return cmd
}

func (c *gatewayList) run(ctx context.Context, b *app.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	reports, err := status.Collect(ctx, b.NC)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		c.Remark("no worker answered within %s", c.patience)
	}
	if !c.JSON {
		text, err := gatewayTable(reports)
		if err == nil {
			_, err = c.Stdout.Write(text)
		}
		return err
	}
	for _, r := range reports {
		if err := c.PrintJSON(r); err != nil {
			return err
		}
	}
	return nil
}

// gatewayTable shows reports to people.
func gatewayTable(reports []status.Report) ([]byte, error) {
	var text bytes.Buffer
	t := term.NewTable(&text, "GATEWAY", "INSTANCE", "STATE", "SINCE", "FAILURES", "IN FLIGHT", "LEFT ALONE", "VERSION")
	for _, r := range reports {
		t.Row(r.Gateway, r.Instance, string(r.State), term.Moment(r.Since), fmt.Sprintf("%d of %d", r.Failures, r.Tries),
			fmt.Sprintf("%d of %d", r.InFlight, r.ConcurrencyMax), term.Moment(r.RateLimitedUntil), r.Version)
	}
	err := t.Flush()
	return text.Bytes(), err
}

// watchInterval is the time without a report after which a watched table is checked for instances
// that have left.
const watchInterval = time.Second

// watch shows the gateways until it is interrupted: on a terminal in place, elsewhere as a new
// table whenever it has changed.
func (c *gatewayList) watch(ctx context.Context, b *app.Bus) (err error) {
	l, err := status.Listen(ctx, b.NC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Ask(); err != nil {
		return err
	}
	screen := gatewayScreen{Env: c.Env, inPlace: term.IsTerminal(c.Stdout, c.Environ)}
	for {
		r, err := nextReport(ctx, l)
		switch {
		case err == nil && c.JSON:
			err = c.PrintJSON(r)
		case err == nil:
			screen.board.Put(r, c.Now())
			err = screen.show()
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			err = screen.show()
		}
		if err != nil {
			return err
		}
	}
}

// nextReport waits for a report, for watchInterval at most.
func nextReport(ctx context.Context, l *status.Listener) (status.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	return l.Next(ctx)
}

// gatewayScreen shows a table again when it has changed.
type gatewayScreen struct {
	*term.Env
	board   status.Board
	inPlace bool
	shown   []byte
}

func (s *gatewayScreen) show() error {
	if s.JSON {
		return nil
	}
	text, err := gatewayTable(s.board.Reports(s.Now()))
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
	_, err = fmt.Fprintf(s.Stdout, "%s%s", before, text)
	return err
}

func newGatewayOpenAPI(e *term.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the description of the gateway protocol, an OpenAPI 3.1 document",
		Long: `Openapi prints the protocol that a server must speak so that Tender can use it as a
gateway of the kind http. Generate a server from it, or write one by hand, and test it
with tender gateway conformance.`,
		Example: "  tender gateway openapi > gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := e.Stdout.Write(protocol.OpenAPI()); err != nil {
				return fmt.Errorf("write the description: %w", err)
			}
			return nil
		},
	}
}
