package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cards are the payment methods that a server offers for tests. An empty one leaves its rules out.
type Cards struct {
	// Approved is authorized, captured and refunded up to Options.AmountMaxMinor. It is needed.
	Approved string
	// Declined is declined with DeclineCode.
	Declined    string
	DeclineCode string
	// Challenged requires the customer's action and can be confirmed without it.
	Challenged string
	// Slow is approved after longer than a quarter of a second.
	Slow string
	// Lapsing is approved, with an authorization that can be captured for less than a minute.
	Lapsing string
}

// SimulatorCards returns the cards of the simulator (package sim).
func SimulatorCards() Cards {
	return Cards{
		Approved: "pm_card_visa",
		Declined: "pm_card_visa_chargeDeclinedInsufficientFunds", DeclineCode: "insufficient_funds",
		Challenged: "pm_card_threeDSecure2Required", Slow: "sim_slow_500", Lapsing: "sim_lapses_250",
	}
}

// Options tune a run of the rules. The zero value runs all of them against a server with the
// simulator's cards.
type Options struct {
	// Cards are the server's; the zero value is SimulatorCards.
	Cards Cards
	// Currency is one that the server takes, and OtherCurrency another one; "" are USD and EUR.
	Currency, OtherCurrency string
	// Tenant stands in every operation; "" is acme. OtherTenant is a second one of the server; ""
	// is globex, and OneTenant says that the server has one only.
	Tenant, OtherTenant string
	// AmountMaxMinor is the largest amount that the approved card takes, in minor units, at least
	// 10,000; 0 is 1,000,000. Limits are checked with it, too, since a server may have a tolerance
	// above some amount.
	AmountMaxMinor int64
	// CallTimeout is the timeout of one call; 0 is 10 s.
	CallTimeout time.Duration
	// PendingTimeout is the longest wait for an operation that was answered as pending; 0 is 30 s.
	PendingTimeout time.Duration
	// Restart restarts the server, and returns when it has been told to start again; nil leaves out
	// what the server has to remember. RestartTimeout is the longest wait for it to answer; 0 is
	// 30 s.
	Restart        func(context.Context) error
	RestartTimeout time.Duration
	// Webhooks takes the events that the server sends to Receiver.URL; nil leaves their rules out.
	// WebhookTimeout is the longest wait for one; 0 is 30 s.
	Webhooks       *Receiver
	WebhookTimeout time.Duration
	// Now is the clock that capture_before is held against; nil is time.Now. ClockDifference is the
	// greatest one to the server's clock; 0 is 500 ms.
	Now             func() time.Time
	ClockDifference time.Duration
	// Rules are the names of those to run; none runs all.
	Rules []string
	// OnResult, if not nil, hears of every result as it comes.
	OnResult func(Result)
}

// OneTenant is the OtherTenant of a server that has one tenant only.
const OneTenant = "-"

// Verdict is the result of one rule for a server.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "pass"
	Fail Verdict = "fail"
	// LeftOut means that the server or the way to it offers nothing to check the rule with.
	LeftOut Verdict = "left_out"
)

// Result is the verdict on one rule, with the reason for it.
type Result struct {
	Rule    string  `json:"rule"`
	Demand  string  `json:"demand"`
	Verdict Verdict `json:"verdict"`
	// Reason names the breach, or the reason for leaving the rule out.
	Reason string `json:"reason,omitempty"`
	// Evidence lists the exchanges, one after the other, up to the breach. It comes with a breach.
	Evidence []string `json:"evidence,omitempty"`
}

// Report lists the results of a run, in the order of the rules.
type Report struct {
	Results []Result `json:"results"`
}

// Breaches counts the rules that were broken.
func (r Report) Breaches() int { return r.count(Fail) }

// Kept counts the rules that were kept.
func (r Report) Kept() int { return r.count(Pass) }

// LeftOut counts the rules that could not be checked.
func (r Report) LeftOut() int { return r.count(LeftOut) }

func (r Report) count(v Verdict) int {
	n := 0
	for _, result := range r.Results {
		if result.Verdict == v {
			n++
		}
	}
	return n
}

// ErrUnreachable means that the server did not answer at all, so that no rule was checked.
var ErrUnreachable = errors.New("the server cannot be reached")

// ErrUnauthorized means that the server does not take the API key, so that no rule was checked.
var ErrUnauthorized = errors.New("the server does not take the API key")

// ErrUnknownRule means that a rule was asked for that does not exist.
var ErrUnknownRule = errors.New("there is no such rule")

// ErrNoCard means that Cards lacks an approved one.
var ErrNoCard = errors.New("no approved card is named")

// Run checks the rules one after the other. A server that breaks rules is no error: it is in the
// report. Run fails with ErrUnreachable, ErrUnauthorized, ErrUnknownRule or ErrNoCard before it
// has begun, and with the cause of ctx's end; the report then holds the results so far.
func Run(ctx context.Context, target *Target, o Options) (Report, error) {
	o = o.withDefaults()
	if o.Cards.Approved == "" {
		return Report{}, ErrNoCard
	}
	rules, err := choose(o.Rules)
	if err != nil {
		return Report{}, err
	}
	if target.described == nil && o.Webhooks != nil {
		if target.described, err = newDescribed(); err != nil {
			return Report{}, err
		}
	}
	if err := target.reach(ctx, o.Tenant, o.CallTimeout); err != nil {
		return Report{}, err
	}
	var report Report
	for _, rule := range rules {
		result := rule.check(ctx, target, o)
		if ctx.Err() != nil {
			return report, fmt.Errorf("check %s: %w", rule.Name, context.Cause(ctx))
		}
		report.Results = append(report.Results, result)
		if o.OnResult != nil {
			o.OnResult(result)
		}
	}
	return report, nil
}

func choose(names []string) ([]Rule, error) {
	if len(names) == 0 {
		return Rules(), nil
	}
	var chosen []Rule
	for _, rule := range Rules() {
		if slices.Contains(names, rule.Name) {
			chosen = append(chosen, rule)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(r Rule) bool { return r.Name == name }) {
			return nil, fmt.Errorf("%w: %q, only %s", ErrUnknownRule, name, strings.Join(ruleNames(), ", "))
		}
	}
	return chosen, nil
}

func (o Options) withDefaults() Options {
	if o.Cards == (Cards{}) {
		o.Cards = SimulatorCards()
	}
	o.Currency = cmp.Or(o.Currency, "USD")
	o.OtherCurrency = cmp.Or(o.OtherCurrency, "EUR")
	if o.OtherCurrency == o.Currency {
		o.OtherCurrency = "USD"
	}
	o.Tenant = cmp.Or(o.Tenant, "acme")
	o.OtherTenant = cmp.Or(o.OtherTenant, "globex")
	if o.OtherTenant == o.Tenant {
		o.OtherTenant = "acme"
	}
	o.AmountMaxMinor = max(cmp.Or(o.AmountMaxMinor, 1_000_000), 10_000)
	o.CallTimeout = cmp.Or(o.CallTimeout, 10*time.Second)
	o.PendingTimeout = cmp.Or(o.PendingTimeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ClockDifference = cmp.Or(o.ClockDifference, 500*time.Millisecond)
	o.RestartTimeout = cmp.Or(o.RestartTimeout, 30*time.Second)
	o.WebhookTimeout = cmp.Or(o.WebhookTimeout, 30*time.Second)
	return o
}

func ruleNames() []string {
	var names []string
	for _, rule := range Rules() {
		names = append(names, rule.Name)
	}
	return names
}
