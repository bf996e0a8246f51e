package main

import (
	"fmt"
	"os"
	"strings"
	"text/template"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// suggestions are lines to copy. The ids are made for this run, so that every line leads somewhere and none twice.
const suggestions = `
Tender is running. Ctrl-C drains and ends it. Things to try in another terminal, from this folder:
{{if .NATSEnv}}
  {{.NATSEnv}}
{{end}}
A payment, as any program may publish it. The same line again changes nothing:

  nats pub --jetstream payments.cmd.acme.create.{{.ID}} \
    '{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa","capture_method":"automatic"}' -H Nats-Msg-Id:{{.Key}}

What comes of it:

  nats sub 'payments.evt.>'
  {{.Tender}} history {{.ID}}
  {{.Tender}} list

More payments; {{.Tender}} simulator --help says what the payment methods do:

  {{.Tender}} pay create --amount 5000 --currency EUR --method pm_card_threeDSecure2Required --wait
  {{.Tender}} pay create --amount 7500 --currency USD --method sim_charge_then_timeout --wait

A payment that is disputed half a second after it was captured, as the gateway's webhook tells:

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

// suggest prints what to try next.
func (c *cli) suggest(box *sandbox) error {
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
	err = text.Execute(c.stdout, map[string]string{
		"NATSEnv": natsEnv, "ID": id, "Key": "order-" + id[24:], "RubbishID": rubbishID, "DisputeID": disputeID,
		"Tender": programName(os.Args), "Simulator": box.simulators[0].url, "Postgres": box.config.Postgres.URL.Reveal(),
		"Commands": messages.StreamCommands, "DeadLetters": messages.StreamDeadLetters,
	})
	if err != nil {
		return fmt.Errorf("print what to try: %w", err)
	}
	return nil
}

// programName is how this program was called: by its path, unless the shell found it by its name alone.
func programName(args []string) string {
	if len(args) > 0 && strings.Contains(args[0], "/") {
		return args[0]
	}
	return "tender"
}
