package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

const (
	// The ports are the defaults of the nats command line, of `tenderlab simulator` and of the role
	// webhook.
	devNATSPort      = 4222
	devSimulatorPort = 8585
	devWebhookPort   = 8586
)

// devGateway is the gateway of `tenderlab dev`.
func devGateway() sandboxGateway {
	return sandboxGateway{name: config.Default().Routing.Default, port: portChoice{number: devSimulatorPort}, tells: true}
}

// dev is `tenderlab dev`.
type dev struct {
	*term.Env
	data  string
	nats  portChoice
	clean bool
}

func newDev(e *term.Env) *cobra.Command {
	c := &dev{Env: e}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Keep servers, simulator and all roles running, to play with",
		Long: `Dev runs everything in one process until it is interrupted: NATS with JetStream, on port
4222 if that is free; a private PostgreSQL; the simulator as the payment gateway, on port
8585 if that is free; and all roles, webhook among them. It prints commands to try.

While it runs, the tender commands find it from the folder in which it was started, by
` + term.DevFile + `. It keeps its data for the next start; --clean removes it first. The first
SIGINT (Ctrl-C) or SIGTERM drains and exits 0.`,
		Example: `  tenderlab dev
  tenderlab dev --clean
  tenderlab dev --nats-port 14222 --data ../tender-data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseServers(e, "dev"); err != nil {
				return err
			}
			c.nats.fixed = cmd.Flags().Changed("nats-port")
			if c.nats.number < 0 || c.nats.number > 65535 {
				return term.UsageError("--nats-port %d is not a port", c.nats.number)
			}
			return c.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.data, "data", "", "`folder` that keeps the data (default "+devFolderRule()+")")
	flags.IntVar(&c.nats.number, "nats-port", devNATSPort, "`port` of NATS; 0 is a free one\n(default 4222, or a free one if it is taken)")
	flags.Lookup("nats-port").DefValue = "0" // pflag does not show 0; the text says it
	flags.BoolVar(&c.clean, "clean", false, "remove the data first")
	return cmd
}

// devFolderRule returns the default folder of the data.
func devFolderRule() string {
	if os.Geteuid() != 0 {
		return filepath.Dir(term.DevFile)
	}
	// PostgreSQL refuses root, so its server runs as another user, who often cannot enter root's
	// folders.
	dir, err := servers.StateDir("dev")
	if err != nil {
		return filepath.Dir(term.DevFile)
	}
	return dir
}

// tuneDev shortens the timeouts of calls, so that the simulator's faults show soon.
func tuneDev(cfg *config.Config) {
	const timeout = 3 * time.Second
	cfg.NATS.Name = "tenderlab dev"
	cfg.Log.Format = config.LogConsole
	name := cfg.Routing.Default
	simulated := cfg.Gateways[name]
	simulated.Timeouts = config.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout}
	cfg.Gateways[name] = simulated
}

// run keeps a sandbox running until ctx ends.
func (c *dev) run(ctx context.Context) (err error) {
	if c.data == "" {
		c.data = devFolderRule()
	}
	state, err := claimDevState(c.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.release()) }()
	p := newProgress(c.Env)
	if c.clean {
		if err := state.clean(); err != nil {
			return err
		}
		p.done("removed the data in %s", state.dir)
	}
	box, err := openSandbox(ctx, sandboxOptions{
		dir: state.dir, nats: c.nats, webhooks: portChoice{number: devWebhookPort}, gateways: []sandboxGateway{devGateway()},
		tune: tuneDev, step: p.done,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	p.done("data is kept in %s", state.dir)
	forget, err := leaveDevFile(term.DevFile, box.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forget()) }()
	log := app.NewLog(c.Stderr, box.config.Log)
	return box.runInstances(ctx, 1, log, func(ctx context.Context) error {
		if err := c.suggest(box); err != nil {
			return err
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return fmt.Errorf("tenderlab dev ended: %w", cause)
		}
		return nil
	})
}

// devState is the folder that keeps the data of `tenderlab dev`, claimed by this process.
type devState struct {
	dir  string
	lock *os.File
}

// claimDevState creates the folder if it is missing and claims it: one process at a time may use
// it. The claim ends with the process, also after a crash.
func claimDevState(dir string) (*devState, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve data folder: %w", err)
	}
	// Others may pass through it, since for root PostgreSQL runs as another user; its contents are
	// closed to them.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // G301: see above
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "dev.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another tenderlab dev uses it; end that one, or choose another folder with --data")
		}
		return nil, errors.Join(fmt.Errorf("claim data folder %s: %w", dir, err), lock.Close())
	}
	return &devState{dir: dir, lock: lock}, nil
}

// clean removes the data of a sandbox and nothing else: the user may have named any folder.
func (s *devState) clean() error {
	for _, name := range []string{sandboxNATS, sandboxPostgres, devGateway().ledger()} {
		if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("remove data: %w", err)
		}
	}
	return nil
}

// release unlocks before it closes: a process that is started at this moment holds a copy of the
// file until its exec.
func (s *devState) release() error {
	if err := errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close()); err != nil {
		return fmt.Errorf("release data folder: %w", err)
	}
	return nil
}

// leaveDevFile writes the configuration by which other commands find the sandbox, readable for its
// owner alone. forget removes it again, unless another process has written its own meanwhile.
func leaveDevFile(path string, cfg config.Config) (forget func() error, err error) {
	content := renderDevFile(cfg)
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil { //nolint:gosec // G301: it may be the data folder too
		return nil, fmt.Errorf("create folder for %s: %w", path, err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".dev-*.yaml") // 0600
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	_, err = draft.Write(content)
	err = errors.Join(err, draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path) // whole, whenever it is seen
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(draft.Name()))
	}
	return func() error { return removeDevFile(path, content) }, nil
}

// removeDevFile removes the file if its content is still that of this process, and its folder if it
// is empty.
func removeDevFile(path string, content []byte) error {
	now, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("remove %s: %w", path, err)
	case !bytes.Equal(now, content):
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	_ = os.Remove(filepath.Dir(path)) // fails if another file is in it
	return nil
}

// renderDevFile renders the settings of a sandbox that differ from the defaults, secrets included.
func renderDevFile(cfg config.Config) []byte {
	name := cfg.Routing.Default
	simulated := cfg.Gateways[name]
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by tenderlab dev (process %d), which removes it when it ends.\n", os.Getpid())
	fmt.Fprintf(&b, "nats:\n  url: %s\n", strconv.Quote(cfg.NATS.URL.Reveal()))
	fmt.Fprintf(&b, "postgres:\n  url: %s\n", strconv.Quote(cfg.Postgres.URL.Reveal()))
	fmt.Fprintf(&b, "gateways:\n  %s:\n    kind: %s\n    url: %s\n", name, simulated.Kind, strconv.Quote(simulated.URL.Reveal()))
	if simulated.WebhookSecret != "" {
		fmt.Fprintf(&b, "    webhook_secret: %s\n", strconv.Quote(simulated.WebhookSecret.Reveal()))
	}
	fmt.Fprintf(&b, "routing:\n  default: %s\n", name)
	return []byte(b.String())
}

// suggestions are lines to copy. Their ids are made for this run, so that each line works once.
const suggestions = `
Tender is running. Ctrl-C drains and ends it. Things to try in another terminal, from this folder:
{{if .NATSEnv}}
  {{.NATSEnv}}
{{end}}
A payment, as any program may publish it. The same line again changes nothing:

  nats pub --jetstream payments.cmd.acme.create.{{.ID}} \
    '{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa","capture_method":"automatic"}' -H Nats-Msg-Id:{{.Key}}

Its events and its history:

  nats sub 'payments.evt.>'
  {{.Tender}} history {{.ID}}
  {{.Tender}} list

More payments; {{.Lab}} simulator --help lists the payment methods:

  {{.Tender}} pay create --amount 5000 --currency EUR --method pm_card_threeDSecure2Required --wait
  {{.Tender}} pay create --amount 7500 --currency USD --method sim_charge_then_timeout --wait

A payment that is disputed half a second after its capture, by the gateway's webhook:

  {{.Tender}} pay create --id {{.DisputeID}} --amount 2000 --currency USD --method pm_card_createDispute --wait
  {{.Tender}} history {{.DisputeID}}

Rubbish, and where it goes:

  nats pub --jetstream payments.cmd.acme.create.{{.RubbishID}} 'one hundred dollars, please' -H Nats-Msg-Id:rubbish-1
  nats stream view {{.DeadLetters}}
  {{.Tender}} dlq ls

The machinery:

  nats stream report
  nats consumer report {{.Commands}}
  {{.Tender}} outbox status
  {{.Tender}} verify
  curl -s {{.Simulator}}/v1/ledger
  psql '{{.Postgres}}'

`

// suggest prints commands to try.
func (c *dev) suggest(box *sandbox) error {
	var ids [3]uuid.UUID
	for i := range ids {
		var err error
		if ids[i], err = uuid.NewV7(); err != nil {
			return fmt.Errorf("make a payment id: %w", err)
		}
	}
	id, rubbishID, disputeID := ids[0].String(), ids[1].String(), ids[2].String()
	text, err := template.New("suggestions").Parse(strings.TrimPrefix(suggestions, "\n"))
	if err != nil {
		return fmt.Errorf("read the suggestions: %w", err)
	}
	natsEnv := ""
	if url := box.config.NATS.URL.Reveal(); url != fmt.Sprintf("nats://127.0.0.1:%d", devNATSPort) {
		natsEnv = "export NATS_URL=" + url
	}
	var page bytes.Buffer // printed at once, so that no line of the log gets between
	err = text.Execute(&page, map[string]string{
		"NATSEnv": natsEnv, "ID": id, "Key": "order-" + id[24:], "RubbishID": rubbishID, "DisputeID": disputeID,
		"Tender": siblingName(os.Args), "Lab": programName(os.Args), "Simulator": box.simulators[0].url, "Postgres": box.config.Postgres.URL.Reveal(),
		"Commands": messages.StreamCommands, "DeadLetters": messages.StreamDeadLetters,
	})
	if err == nil {
		_, err = page.WriteTo(c.Stdout)
	}
	if err != nil {
		return fmt.Errorf("print the suggestions: %w", err)
	}
	return nil
}

// programName is the name by which the user called this program: its path, unless the shell found
// it on the PATH.
func programName(args []string) string {
	if len(args) > 0 && strings.Contains(args[0], "/") {
		return args[0]
	}
	return "tenderlab"
}

// siblingName is the name by which to call tender, the program beside this one.
func siblingName(args []string) string {
	if sibling, ok := strings.CutSuffix(programName(args), "lab"); ok {
		return sibling
	}
	return "tender"
}
