package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// variation is the chosen settings with something changed.
type variation struct {
	name   string
	adjust func(*options)
}

// variations lists the settings to try. The first changes nothing.
func variations() []variation {
	all := []variation{{"as chosen", func(*options) {}}}
	for _, n := range []int{1, 4, 16, 32, 128, 256} {
		all = append(all, variation{fmt.Sprintf("%d handlers, %d connections", n, min(n, 64)), func(o *options) { o.Handlers, o.Connections = n, min(n, 64) }})
	}
	for _, n := range []int{8, 16, 64} {
		all = append(all, variation{fmt.Sprintf("%d connections", n), func(o *options) { o.Connections = n }})
	}
	for _, n := range []int{1, 2, 8, 16} {
		all = append(all, variation{fmt.Sprintf("%d outboxes", n), func(o *options) { o.Outboxes = n }})
	}
	for _, n := range []int{1, 10, 100} {
		all = append(all, variation{fmt.Sprintf("batches of %d", n), func(o *options) { o.Batch = n }})
	}
	return append(all,
		variation{"gather for 20ms", func(o *options) { o.Gather = 20 * time.Millisecond }},
		variation{"poll each 50ms", func(o *options) { o.Poll = 50 * time.Millisecond }},
		variation{"outbox as a queue", func(o *options) { o.Schema = schemaQueue }},
		variation{"four round trips", func(o *options) { o.Pipeline = false }},
	)
}

func tuneCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("peer tune", flag.ContinueOnError)
	turns := flags.Int("turns", 3, "how often each variation is measured")
	var o options
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	if *turns < 1 {
		return errors.New("--turns must be at least 1")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	rates := map[string][]float64{}
	for turn := range *turns { // turn by turn, so that other load of the machine affects all alike
		for _, v := range variations() {
			varied := o
			v.adjust(&varied)
			rate, err := withWatermill(self, varied).measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			rates[v.name] = append(rates[v.name], rate)
			fmt.Fprintf(out, "turn %d of %d: %-30s %6.0f payments/s\n", turn+1, *turns, v.name, rate)
		}
	}
	return printTuning(out, rates)
}

// withWatermill is the measurement of this program with the given settings.
func withWatermill(self string, o options) contender {
	return contender{"Watermill", append([]string{self, "run", "--json", "--nats={nats}", "--postgres={postgres}"}, o.arguments()...), ratesKey}
}

func printTuning(out io.Writer, rates map[string][]float64) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	chosen := median(rates[variations()[0].name])
	fmt.Fprintln(table, "\nsettings\tmedian\tof the chosen\teach turn")
	for _, v := range variations() {
		each := make([]string, len(rates[v.name]))
		for i, rate := range slices.Sorted(slices.Values(rates[v.name])) {
			each[i] = fmt.Sprintf("%.0f", rate)
		}
		middle := median(rates[v.name])
		fmt.Fprintf(table, "%s\t%.0f/s\t%.2f\t%s\n", v.name, middle, middle/chosen, strings.Join(each, " "))
	}
	return table.Flush()
}
