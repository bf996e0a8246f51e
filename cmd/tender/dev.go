package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

const (
	// devNATSPort is where the nats command line looks by default, devSimulatorPort where `tender simulator` listens, and
	// devWebhookPort where the role webhook does.
	devNATSPort      = 4222
	devSimulatorPort = 8585
	devWebhookPort   = 8586
)

// devGateway is the gateway of `tender dev`.
func devGateway() sandboxGateway {
	return sandboxGateway{name: config.Default().Routing.Default, port: portChoice{number: devSimulatorPort}, tells: true}
}

// devFlags are those of dev.
type devFlags struct {
	data  string
	nats  portChoice
	clean bool
}

func newDev(c *cli) *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Keep NATS, PostgreSQL, the simulator and all roles running, to play with",
		Long: `Dev runs everything in one process until it is interrupted: NATS with JetStream, on port 4222 if that is free; a private
PostgreSQL; the simulator as the payment gateway, on port 8585 if that is free; and all roles, webhook among them. It prints
what to try.

While it runs, the other tender commands find it from the folder it was started in, by ` + devFile + `. Its data is kept for the
next time; --clean begins anew. The first SIGINT (Ctrl-C) or SIGTERM drains and exits 0.`,
		Example: `  tender dev
  tender dev --clean
  tender dev --nats-port 14222 --data ../tender-data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.refuseServers("dev"); err != nil {
				return err
			}
			f.nats.fixed = cmd.Flags().Changed("nats-port")
			if f.nats.number < 0 || f.nats.number > 65535 {
				return usageError("--nats-port %d is no port", f.nats.number)
			}
			return c.dev(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "`folder` that keeps the data (default "+devFolderRule()+")")
	flags.IntVar(&f.nats.number, "nats-port", devNATSPort, "`port` of NATS; 0 is a free one (default 4222, or a free one if it is taken)")
	flags.Lookup("nats-port").DefValue = "0" // which is not shown: the text says it
	flags.BoolVar(&f.clean, "clean", false, "remove the data first")
	return cmd
}

// devFolderRule says where the data is kept by default.
func devFolderRule() string {
	if os.Geteuid() != 0 {
		return filepath.Dir(devFile)
	}
	// PostgreSQL refuses root, so its server runs as another user, to whom root's own folders are often closed.
	dir, err := servers.StateDir("dev")
	if err != nil {
		return filepath.Dir(devFile)
	}
	return dir
}

// tuneDev gives calls less time than in production, so that the simulator's faults show soon.
func tuneDev(cfg *config.Config) {
	const timeout = 3 * time.Second
	cfg.NATS.Name = "tender dev"
	cfg.Log.Format = config.LogConsole
	name := cfg.Routing.Default
	simulated := cfg.Gateways[name]
	simulated.Timeouts = config.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout}
	cfg.Gateways[name] = simulated
}

// dev keeps a sandbox running until ctx ends.
func (c *cli) dev(ctx context.Context, f devFlags) (err error) {
	if f.data == "" {
		f.data = devFolderRule()
	}
	state, err := claimDevState(f.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.release()) }()
	p := c.newProgress()
	if f.clean {
		if err := state.clean(); err != nil {
			return err
		}
		p.done("removed the data in %s", state.dir)
	}
	box, err := openSandbox(ctx, sandboxOptions{
		dir: state.dir, nats: f.nats, webhooks: portChoice{number: devWebhookPort}, gateways: []sandboxGateway{devGateway()},
		tune: tuneDev, step: p.done,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	p.done("data is kept in %s", state.dir)
	forget, err := leaveDevFile(devFile, box.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forget()) }()
	log := newLog(c.stderr, box.config.Log)
	return box.runInstances(ctx, 1, log, func(ctx context.Context) error {
		if err := c.suggest(box); err != nil {
			return err
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return fmt.Errorf("tender dev ended: %w", cause)
		}
		return nil
	})
}
