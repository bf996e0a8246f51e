package chaos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
)

// Injection is one fault, with the outcome of its injection.
type Injection struct {
	At      time.Time `json:"at"`
	Name    string    `json:"name"`
	Detail  string    `json:"detail,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	// Failed means that the fault could not be brought about or repaired.
	Failed bool `json:"failed,omitempty"`
	// BringingAbout is the time until the fault struck, Lasting the time until its cause was gone,
	// and Recovering the time from then until the system was well again, as far as the fault waits
	// for it.
	BringingAbout time.Duration `json:"bringing_about_ns,omitempty"`
	Lasting       time.Duration `json:"lasting_ns,omitempty"`
	Recovering    time.Duration `json:"recovering_ns,omitempty"`
}

// names reports whether the injection is of the fault of that name.
func (i *Injection) names(fault string) bool {
	name, _, _ := strings.Cut(i.Name, " (with ")
	return name == fault
}

// took is the duration of the whole fault.
func (i *Injection) took() time.Duration { return i.BringingAbout + i.Lasting + i.Recovering }

// Report is everything about one run, for a person and for programs.
type Report struct {
	Seed    uint64    `json:"seed"`
	Tenants []string  `json:"tenants"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	// Command is the command line that repeats the run.
	Command string `json:"command"`
	// Record is the path of the record of the client.
	Record     string      `json:"record,omitempty"`
	Injections []Injection `json:"injections"`
	// Impossible lists the faults that this system does not allow: the servers were given, or
	// there is no disk to fill.
	Impossible []string `json:"impossible,omitempty"`
	// Surprises lists incidents that no fault brought about, such as a process that ended by
	// itself.
	Surprises []string `json:"surprises,omitempty"`
	Drain     *Drain   `json:"drain,omitempty"`
	Verdict   Verdict  `json:"verdict"`
}

// OK reports whether all faults came about, nothing else broke, and all invariants held.
func (r *Report) OK() bool {
	return r.Verdict.OK && r.failed() == 0 && len(r.Surprises) == 0
}

// failed counts the faults that did not come about.
func (r *Report) failed() int {
	failed := 0
	for _, i := range r.Injections {
		if i.Failed {
			failed++
		}
	}
	return failed
}

// JSON writes the report as one JSON object.
func (r *Report) JSON(to io.Writer) error {
	if err := json.NewEncoder(to).Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// Text writes the report for a person: the faults, the checks, the figures, and the verdict last.
func (r *Report) Text(to io.Writer) error {
	var text strings.Builder
	r.injections(&text)
	r.durations(&text)
	r.checks(&text)
	r.figures(&text)
	r.verdict(&text)
	if _, err := io.WriteString(to, text.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// table writes rows with aligned columns.
func table(text *strings.Builder, rows ...[]string) {
	var lines strings.Builder
	w := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder never fails
	for line := range strings.Lines(lines.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func (r *Report) injections(text *strings.Builder) {
	fmt.Fprintf(text, "What was broken, in %s\n\n", r.Ended.Sub(r.Began).Round(time.Second))
	rows := [][]string{{"AT", "WHAT", "DETAIL", "OUTCOME"}}
	for _, i := range r.Injections {
		rows = append(rows, []string{"+" + i.At.Sub(r.Began).Round(100*time.Millisecond).String(), i.Name, i.Detail, i.Outcome})
	}
	if len(r.Injections) == 0 {
		text.WriteString("nothing\n")
		return
	}
	table(text, rows...)
	if len(r.Impossible) > 0 {
		fmt.Fprintf(text, "\nnot possible here: %s\n", strings.Join(r.Impossible, ", "))
	}
	for _, s := range r.Surprises {
		fmt.Fprintf(text, "\nunasked: %s\n", s)
	}
}

// durations lists the longest faults first. It writes nothing without measurements.
func (r *Report) durations(text *strings.Builder) {
	dearest := slices.DeleteFunc(slices.Clone(r.Injections), func(i Injection) bool { return i.took() < durationShown })
	if len(dearest) == 0 {
		return
	}
	slices.SortStableFunc(dearest, func(a, b Injection) int { return cmp.Compare(b.took(), a.took()) })
	fmt.Fprintf(text, "\nWhat took a second or more\n\n")
	rows := [][]string{{"TOOK", "WHAT", "TO BRING IT ABOUT", "IT LASTED", "UNTIL WELL AGAIN"}}
	for i := range dearest {
		d := &dearest[i]
		rows = append(rows, []string{
			rounded(d.took()).String(), d.Name, rounded(d.BringingAbout).String(), rounded(d.Lasting).String(), rounded(d.Recovering).String(),
		})
	}
	table(text, rows...)
}

// durationShown is the duration from which a fault is listed.
const durationShown = time.Second

func (r *Report) checks(text *strings.Builder) {
	text.WriteString("\nWhat was checked\n\n")
	rows := [][]string{{"ITEM", "CHECKED", "VIOLATED"}}
	for _, item := range r.Verdict.Items {
		rows = append(rows, []string{string(item.Name), fmt.Sprint(item.Checked), fmt.Sprint(item.Violated)})
	}
	table(text, rows...)
	for _, item := range r.Verdict.Items {
		for _, f := range item.Findings {
			fmt.Fprintf(text, "\n%s: %s\n", item.Name, f.where())
			fmt.Fprintf(text, "  %s\n", f.Detail)
		}
		if hidden := item.Violated - int64(len(item.Findings)); hidden > 0 && len(item.Findings) > 0 {
			fmt.Fprintf(text, "\n%s: and %d more\n", item.Name, hidden)
		}
	}
}

// where names the check and, if there is one, the payment of a finding.
func (f *Finding) where() string {
	if f.PaymentID == uuid.Nil {
		return string(f.Invariant)
	}
	return string(f.Invariant) + ", payment " + f.PaymentID.String()
}

func (r *Report) figures(text *strings.Builder) {
	f := &r.Verdict.Figures
	text.WriteString("\nFigures\n\n")
	count := func(n int64) string { return fmt.Sprint(n) }
	table(text,
		[]string{"messages published", count(f.Published), fmt.Sprintf("%d acknowledged, %d published again for want of it", f.Acknowledged, f.Retries)},
		[]string{"duplicates", count(f.DuplicatesOnBus + f.DuplicatesAbsorbed), fmt.Sprintf("%d known to JetStream, %d to Tender", f.DuplicatesOnBus, f.DuplicatesAbsorbed)},
		[]string{"commands decided", count(f.Accepted + f.Rejected), fmt.Sprintf("%d accepted, %d rejected", f.Accepted, f.Rejected)},
		[]string{"refusals", count(f.Rejected), fmt.Sprintf("%d as planned, %d out of turn, %d after a fault",
			f.RefusedAsPlanned, f.RefusedForOrder, f.RefusedExcused)},
		[]string{"dead letters", count(f.DeadLetters), ""},
		[]string{"redeliveries", count(f.Redeliveries), ""},
		[]string{"payments", count(f.Payments), fmt.Sprintf("%d wait for a person", f.InReview)},
		[]string{"events", count(f.Events), fmt.Sprintf("%d messages on the bus, %d repeated; %d seen by the client", f.EventsOnBus, f.EventsRepeated, f.EventsSeen)},
		[]string{"operations", count(f.Operations), operationsDetail(f)},
	)
	if f.AgedOut > 0 {
		fmt.Fprintf(text, "\n%d acknowledged commands aged out before a worker read them, and dead letters say so\n", f.AgedOut)
	}
	if len(r.Verdict.Lost) > 0 {
		fmt.Fprintf(text, "\n%d acknowledged commands were lost with a damaged disk before a worker read them; only their producers know:\n", len(r.Verdict.Lost))
		for _, lost := range r.Verdict.Lost[:min(len(r.Verdict.Lost), lostShown)] {
			fmt.Fprintf(text, "  %s\n", lost)
		}
	}
	if r.Drain != nil {
		word := "at rest after"
		if !r.Drain.Done {
			word = "not at rest after"
		}
		fmt.Fprintf(text, "\n%s %s\n", word, r.Drain.Took.Round(time.Millisecond))
	}
}

// lostShown is the limit of lost commands that the text names.
const lostShown = 20

func operationsDetail(f *Figures) string {
	detail := fmt.Sprintf("%d calls to gateways at least, %d effects", f.GatewayCalls, f.GatewayEffects)
	if f.ReviewDifferences > 0 {
		detail += fmt.Sprintf("; %d differences to the ledgers in review", f.ReviewDifferences)
	}
	return detail
}

func (r *Report) verdict(text *strings.Builder) {
	fmt.Fprintf(text, "\nseed %d", r.Seed)
	if r.Command != "" {
		fmt.Fprintf(text, "; the same again: %s", r.Command)
	}
	if r.Record != "" {
		fmt.Fprintf(text, "\nthe client's record is in %s", r.Record)
	}
	var broken []string
	for _, item := range r.Verdict.Items {
		if item.Violated > 0 {
			broken = append(broken, fmt.Sprintf("%s (%d)", item.Name, item.Violated))
		}
	}
	switch {
	case !r.Verdict.OK:
		fmt.Fprintf(text, "\nVIOLATED: %s\n", strings.Join(broken, ", "))
	case !r.OK():
		fmt.Fprintf(text, "\neverything that was checked holds, but %d faults could not be brought about or put right, and %d things happened unasked\n",
			r.failed(), len(r.Surprises))
	default:
		text.WriteString("\neverything holds\n")
	}
}
