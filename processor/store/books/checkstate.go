package books

import (
	"fmt"
	"sync"
	"time"
)

// CheckState is how far a check got: what Save was given and Resume takes. It is to be kept as
// JSON; all but Report is for CheckInvariants alone.
type CheckState struct {
	// Format changes with the meaning of what follows.
	Format int `json:"format"`
	// Database identifies server, database and schema.
	Database   string        `json:"database"`
	StaleAfter time.Duration `json:"stale_after_ns"`
	// Passes say how far each part is, by its name.
	Passes map[string]CheckPosition `json:"passes"`
	// Report is what was found so far.
	Report Report `json:"report"`
}

// CheckPosition is how far one part of a check is.
type CheckPosition struct {
	// After is the end of the last piece before which all are done; the pass knows what it means.
	After    string `json:"after,omitempty"`
	Done     int64  `json:"done"`
	Finished bool   `json:"finished,omitempty"`
}

// checkStateFormat is the CheckState.Format of this build.
const checkStateFormat = 2

// ledger collects a report from several workers, in the order of the pieces, however they finish.
type ledger struct {
	options CheckOptions

	mu      sync.Mutex
	state   CheckState
	resumed map[string]int64 // how much of each pass was done before
	waiting map[int]finished // pieces that are done before one ahead of them
	next    int              // the piece that is to be recorded next
}

type finished struct {
	job   job
	tally *tally
}

func newLedger(o CheckOptions) *ledger {
	return &ledger{
		options: o, waiting: map[int]finished{}, resumed: map[string]int64{},
		state: CheckState{Format: checkStateFormat, Passes: map[string]CheckPosition{}, Report: Report{
			Checked: map[Invariant]int64{}, Violated: map[Invariant]int64{}, Findings: []Finding{},
		}},
	}
}

// begin notes when and where the check takes place, after those that it continues.
func (l *ledger) begin(database string, o CheckOptions) error {
	if saved := o.Resume; saved != nil {
		switch {
		case saved.Format != checkStateFormat:
			return fmt.Errorf("%w: it was saved by another version of this program", ErrOtherCheck)
		case saved.Database != database:
			return fmt.Errorf("%w: it belongs to database %s, this is %s (system identifier/oid/schema)", ErrOtherCheck, saved.Database, database)
		case saved.StaleAfter != o.StaleAfter:
			return fmt.Errorf("%w: it took what waits for %s as stuck, not for %s", ErrOtherCheck, saved.StaleAfter, o.StaleAfter)
		}
		l.resume(saved)
	}
	l.state.Database, l.state.StaleAfter = database, o.StaleAfter
	l.state.Report.At = o.Now
	l.state.Report.Snapshots = append(l.state.Report.Snapshots, o.Now)
	return nil
}

func (l *ledger) resume(saved *CheckState) {
	for name, position := range saved.Passes {
		l.state.Passes[name] = position
		l.resumed[name] = position.Done
	}
	r := &l.state.Report
	r.Payments, r.Events, r.Claims, r.OutboxRows = saved.Report.Payments, saved.Report.Events, saved.Report.Claims, saved.Report.OutboxRows
	for invariant, n := range saved.Report.Checked {
		r.Checked[invariant] = n
	}
	for invariant, n := range saved.Report.Violated {
		r.Violated[invariant] = n
	}
	r.Findings = append(r.Findings, saved.Report.Findings...)
	r.Snapshots = append(r.Snapshots, saved.Report.Snapshots...)
}

// enter says where a pass begins, or that it is done.
func (l *ledger) enter(p *pass) (after string, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	position := l.state.Passes[p.name]
	return position.After, position.Finished
}

// record takes over what was found in one piece, and all that waited for it.
func (l *ledger) record(j job, t *tally) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[j.number] = finished{j, t}
	for {
		f, there := l.waiting[l.next]
		if !there {
			return nil
		}
		delete(l.waiting, l.next)
		l.next++
		if err := l.add(f); err != nil {
			return err
		}
	}
}

func (l *ledger) add(f finished) error {
	l.state.Report.add(f.tally, l.options.FindingsMax)
	p := f.job.pass
	position := l.state.Passes[p.name]
	position.After, position.Finished = f.job.piece.to, f.job.piece.last
	position.Done += f.tally.done
	l.state.Passes[p.name] = position
	total := max(p.total, position.Done)
	if position.Finished {
		total = position.Done // The estimate was wrong.
	}
	l.options.Progress(Progress{
		Pass: p.name, Unit: p.unit, Done: position.Done, Total: total, Resumed: l.resumed[p.name],
	})
	if err := l.options.Save(&l.state); err != nil {
		return fmt.Errorf("save progress: %w", err)
	}
	return nil
}
