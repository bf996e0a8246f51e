package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// comparison is the output of --json for both, measured in turn.
type comparison struct {
	Tender           []float64 `json:"tender"` // payments per second of each turn
	Watermill        []float64 `json:"watermill"`
	TenderMedian     float64   `json:"tender_payments_per_second"`
	WatermillMedian  float64   `json:"watermill_payments_per_second"`
	Ratio            float64   `json:"ratio"` // of the medians
	WatermillOptions options   `json:"watermill_options"`
}

// contender is a program that measures itself on the given servers and prints JSON.
type contender struct {
	name    string
	command []string // with {nats} and {postgres} for the servers' addresses
	key     string   // path of its payments per second in the output, with dots
}

const ratesKey = "payments_per_second"

func compareCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("peer compare", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: peer compare [flags] -- PROGRAM [ARGUMENTS], with {nats} and {postgres} for the servers' addresses")
		flags.PrintDefaults()
	}
	turns := flags.Int("turns", 3, "how often both are measured")
	key := flags.String("key", ratesKey, "where the program's JSON has its payments per second: names with dots between")
	asJSON := flags.Bool("json", false, "print the result as JSON")
	var o options
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	if *turns < 1 || flags.NArg() == 0 {
		return errors.New("say how to measure Tender, and at least one turn: peer compare [flags] -- PROGRAM [ARGUMENTS]")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	c, err := compare(ctx, contender{"Tender", flags.Args(), *key}, withWatermill(self, o), *turns, out, *asJSON)
	if err != nil {
		return err
	}
	c.WatermillOptions = o
	return c.print(out, *asJSON)
}

// compare measures both in alternating order, so other load of the machine affects both alike.
func compare(ctx context.Context, tender, peer contender, turns int, out io.Writer, quiet bool) (comparison, error) {
	var c comparison
	rates := map[string]*[]float64{tender.name: &c.Tender, peer.name: &c.Watermill}
	for turn := range turns {
		order := []contender{tender, peer}
		if turn%2 == 1 {
			slices.Reverse(order)
		}
		for _, each := range order {
			rate, err := each.measure(ctx)
			if err != nil {
				return c, fmt.Errorf("turn %d of %s: %w", turn+1, each.name, err)
			}
			*rates[each.name] = append(*rates[each.name], rate)
			if !quiet {
				fmt.Fprintf(out, "turn %d of %d: %-9s %6.0f payments/s\n", turn+1, turns, each.name, rate)
			}
		}
	}
	c.TenderMedian, c.WatermillMedian = median(c.Tender), median(c.Watermill)
	c.Ratio = c.TenderMedian / c.WatermillMedian
	return c, nil
}

// measure runs the contender on private servers, equal for both.
func (c contender) measure(ctx context.Context) (rate float64, err error) {
	s, err := startServers(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	fill := strings.NewReplacer("{nats}", s.natsURL, "{postgres}", s.postgresURL)
	command := make([]string, len(c.command))
	for i, argument := range c.command {
		command[i] = fill.Replace(argument)
	}
	output, err := runProgram(ctx, command)
	if err != nil {
		return 0, err
	}
	return lookUp(output, c.key)
}

// lookUp returns the number at a key of a JSON document. In a list, the part of the key is the name
// of an element.
func lookUp(document []byte, key string) (float64, error) {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return 0, fmt.Errorf("decode the result: %w", err)
	}
	for name := range strings.SplitSeq(key, ".") {
		switch level := value.(type) {
		case map[string]any:
			value = level[name]
		case []any:
			value = named(level, name)
		default:
			value = nil
		}
	}
	rate, is := value.(float64)
	if !is || rate <= 0 {
		return 0, fmt.Errorf("the result has no number above zero at %q", key)
	}
	return rate, nil
}

func named(list []any, name string) any {
	for _, element := range list {
		if object, is := element.(map[string]any); is && object["name"] == name {
			return object
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (c comparison) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(c)
	}
	_, err := fmt.Fprintf(out, "medians: Tender %.0f payments/s, Watermill %.0f payments/s; Tender does %.1f times as many\n",
		c.TenderMedian, c.WatermillMedian, c.Ratio)
	return err
}
