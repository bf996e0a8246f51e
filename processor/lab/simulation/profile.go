package simulation

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// profile says how often what goes wrong in a run, in cases of a thousand. Each seed leaves out
// about a half of it, so that one behaviour does not hide another.
type profile struct {
	// Of workers, store and bus.
	crash, pause, storeAway, commitUnknown, lostAck, reorder, duplicates, restore int
	// Of calls.
	notSent, lostRequest, lateRequest, inProgress, lostAnswer, lookupUnknown, lookupRefused, lookupBehind int
	outages                                                                                               int
	lookupState, lookupAmount                                                                             bool
	// Of gateways.
	decline, declineLater, action, pending, partial, more, silent, voidRefused, flip, reversal, dispute, outside, pastTimes int
	pageStays                                                                                                               int
	foreign                                                                                                                 bool
	// Of news and people.
	tells, late, endless, customerAway, badOperator, absentOperator int
	// classes are the classes of declines.
	classes           []messages.DeclineClass
	fallbacks         int
	failoverOnDecline bool
	method            messages.CaptureMethod
	retry             bool
	payments          int
	// tidy means that producers only ask for what the status allows.
	tidy bool
}

func newProfile(w *world) profile {
	r := w.rng
	some := func(most int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return 1 + r.IntN(most)
	}
	rare := func(most int) int {
		if r.IntN(3) != 0 {
			return 0
		}
		return 1 + r.IntN(most)
	}
	p := profile{
		crash: some(40), pause: some(20), storeAway: some(60), commitUnknown: some(80), lostAck: some(100), reorder: some(150),
		duplicates: some(200), restore: rare(1) * r.IntN(2) * r.IntN(2),
		notSent: some(300), lostRequest: some(150), lateRequest: some(60), inProgress: some(60), lostAnswer: some(150),
		lookupUnknown: some(300), lookupRefused: some(150), lookupBehind: some(300), outages: some(4),
		lookupState: r.IntN(3) > 0, lookupAmount: r.IntN(3) > 0,
		decline: some(500), declineLater: some(250), action: some(500), pending: some(250), partial: rare(150), more: rare(150),
		silent: rare(300), voidRefused: some(300), flip: rare(400), reversal: rare(700), dispute: rare(700), outside: rare(400),
		pastTimes: some(300), pageStays: some(700), foreign: r.IntN(4) == 0,
		tells: some(1000), late: some(500), endless: rare(200), customerAway: some(300), badOperator: rare(200), absentOperator: rare(300),
		fallbacks: r.IntN(3), failoverOnDecline: r.IntN(2) == 0, retry: r.IntN(3) == 0, payments: 1 + r.IntN(2), tidy: r.IntN(2) == 0,
	}
	all := []messages.DeclineClass{
		messages.DeclineSoft, messages.DeclineNeverRetry, messages.DeclineFixData, messages.DeclineStepUp, messages.DeclineLookUpFirst,
	}
	if p.classes = all[:1]; r.IntN(2) == 0 {
		p.classes = all[:1+r.IntN(len(all))]
	}
	p.method = []messages.CaptureMethod{messages.CaptureAutomatic, messages.CaptureManual, messages.CaptureManualMultiple}[r.IntN(3)]
	return p
}

// class returns the class of a decline.
func (p *profile) class(w *world) messages.DeclineClass { return p.classes[w.rng.IntN(len(p.classes))] }

// outages plans when gateways are away, and when that is noticed to be over.
func (w *world) planOutages() {
	for _, g := range w.gateways {
		for range w.profile.outages {
			if w.odds(500) {
				continue
			}
			w.after(w.between(time.Millisecond, 300*time.Hour), func() {
				g.away = w.now.Add(w.between(time.Second, 12*time.Hour))
				w.trace("%s is away until %s", g.name, g.away.Sub(began()))
				w.at(g.away, func() {
					if w.odds(700) && !w.now.Before(g.away) {
						w.after(w.between(time.Millisecond, 5*time.Second), func() { w.unpark(g.name) })
					}
				})
			})
		}
	}
}
