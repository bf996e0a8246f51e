package bench_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
)

// TestHistogramIsExactToThreeDigits compares with the sorted durations themselves.
func TestHistogramIsExactToThreeDigits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	h := bench.NewHistogram()
	all := make([]time.Duration, 20_000)
	for i := range all {
		all[i] = time.Duration(math.Exp(random.NormFloat64()*2+2)*1000) * time.Microsecond / 1000 * 1000
		h.Record(all[i])
	}
	slices.Sort(all)
	if h.Count() != len(all) {
		t.Fatalf("%d of %d are counted", h.Count(), len(all))
	}
	for _, percentile := range []float64{1, 50, 90, 99, 99.9, 100} {
		want := all[int(math.Round(percentile/100*float64(len(all))))-1]
		got := h.At(percentile)
		if difference := math.Abs(float64(got - want)); difference > float64(want)/500+float64(time.Microsecond) {
			t.Errorf("%v%%: %s, want %s", percentile, got, want)
		}
	}
}

func TestHistogramKeepsWhatIsOutOfItsBounds(t *testing.T) {
	t.Parallel()
	h := bench.NewHistogram()
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond, 24 * time.Hour} {
		h.Record(d)
	}
	if h.Count() != 4 || h.At(50) > time.Microsecond || h.At(100) < 5*time.Minute-time.Second {
		t.Errorf("%d counted, from %s to %s", h.Count(), h.At(50), h.At(100))
	}
}

func measured(name string, times ...time.Duration) bench.Latency {
	h := bench.NewHistogram()
	for _, d := range times {
		h.Record(d)
	}
	l := bench.Latency{Name: name, PerSecond: 100}
	h.Describe(&l)
	return l
}

func TestPlot(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	fast, slow := measured("little", time.Millisecond), measured("much", 10*time.Millisecond, 100*time.Millisecond)
	if err := bench.Plot(&b, []bench.Latency{fast, slow}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if want := 1 + len(fast.Curve) + 2; len(lines) != want {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), want, b.String())
	}
	heading, first, last := lines[0], []rune(lines[1]), []rune(lines[len(fast.Curve)])
	for _, label := range []string{"1ms", "10ms", "100ms"} {
		if !strings.Contains(heading, label) {
			t.Errorf("no %s on the axis: %s", label, heading)
		}
	}
	// A decade is half of the axis, and 1 ms is its beginning.
	const left, width = 12, 72
	for _, want := range []struct {
		line  []rune
		place int
		mark  rune
	}{{first, 0, 'a'}, {first, width / 2, 'b'}, {last, 0, 'a'}, {last, width, 'b'}} {
		if got := want.line[left+want.place]; got != want.mark {
			t.Errorf("%c at %d, want %c: %s", got, want.place, want.mark, string(want.line))
		}
	}
}

func TestPlotOfNothing(t *testing.T) {
	t.Parallel()
	for _, nothing := range [][]bench.Latency{nil, {measured("none")}} {
		if err := errors.Join(bench.Plot(io.Discard, nothing), bench.SVG(io.Discard, nothing)); err != nil {
			t.Error(err)
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := bench.SVG(&b, []bench.Latency{measured("<1 & 2>", time.Millisecond, time.Second), measured("other", time.Minute)}); err != nil {
		t.Fatal(err)
	}
	curves := 0
	for decoder := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, b.String())
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "polyline" {
			curves++
		}
	}
	if curves != 2 {
		t.Errorf("%d curves, want 2", curves)
	}
}

// TestEveryKeyIsDocumented walks a report with all fields set.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	var report bench.Report
	fill(reflect.ValueOf(&report).Elem())
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	keysIn(tree, "", found)
	documented := map[string]bool{}
	for _, k := range bench.Keys() {
		documented[k.Name] = true
		if k.Doc == "" {
			t.Errorf("%s has no documentation", k.Name)
		}
	}
	if diff := cmp.Diff(documented, found); diff != "" {
		t.Errorf("keys (-documented +printed):\n%s", diff)
	}
	if !documented["floor_ratio"] || !documented["runs[].payments_per_second"] {
		t.Errorf("the names of keys have changed: %v", documented)
	}
}

// fill sets every field to a value that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	default:
		v.SetInt(1)
	}
}

func keysIn(v any, prefix string, found map[string]bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return
	}
	for name, value := range object {
		found[prefix+name] = true
		if list, ok := value.([]any); ok {
			for _, item := range list {
				keysIn(item, prefix+name+"[].", found)
			}
			continue
		}
		keysIn(value, prefix+name+".", found)
	}
}

func TestFinishComparesTheRuns(t *testing.T) {
	t.Parallel()
	clean := bench.Verify{Clean: true}
	r := bench.Report{
		Floor: &bench.Floor{Payments: 10, PerSecond: 1000, CPU: bench.CPU{Postgres: 1, Workers: 1}},
		Runs: []bench.Run{
			{Name: bench.RunThroughput, Payments: 20, PerSecond: 400, CPUMicros: 100, CPU: bench.CPU{Postgres: 4}, Verify: clean},
			{Name: bench.RunSyncAlways, PerSecond: 300, Verify: clean},
			{Name: bench.RunPreload, PerSecond: 400, CPUMicros: 110, Verify: clean},
		},
		Latencies: []bench.Latency{{Verify: clean}},
	}
	r.Finish()
	if r.FloorRatio != 0.4 || r.SyncRatio != 0.75 || r.PreloadCostRatio != 1.1 || r.CPUFloorRatio != 2 || r.CPURatio != 1 || !r.Clean {
		t.Errorf("%+v", r)
	}
	r.Latencies[0].Verify.Clean = false
	if r.Finish(); r.Clean {
		t.Error("clean although one check found something")
	}
}

func operation(id string, kind messages.OperationKind) messages.Operation {
	return messages.Operation{ID: id, Kind: kind}
}

func TestGatewayAnswersTheSameOperationTheSame(t *testing.T) {
	t.Parallel()
	g := bench.NewGateway(bench.GatewayConfig{Declined: 50, Unknown: 10})
	counts := map[messages.OutcomeKind]int{}
	const n = 20_000
	for i := range n {
		op := operation(newID(t)+"-"+string(rune('1'+i%3)), messages.OperationAuthorize)
		first := g.Do(t.Context(), op)
		counts[first.Kind]++
		if again := g.Do(t.Context(), op); again.Kind != first.Kind {
			t.Fatalf("%s, then %s", first.Kind, again.Kind)
		}
		if first.Kind != messages.OutcomeUnknown {
			continue
		}
		g.Do(t.Context(), op) // the last quick try
		if late := g.Do(t.Context(), op); late.Kind != messages.OutcomeSucceeded {
			t.Fatalf("an unknown outcome stays %s", late.Kind)
		}
	}
	for kind, want := range map[messages.OutcomeKind]int{messages.OutcomeDeclined: n / 20, messages.OutcomeUnknown: n / 100} {
		if got := counts[kind]; math.Abs(float64(got-want)) > 6*math.Sqrt(float64(want)) {
			t.Errorf("%d of %d are %s, want about %d", got, n, kind, want)
		}
	}
	if refund := bench.NewGateway(bench.GatewayConfig{Declined: 1000}).Do(t.Context(), operation("p-1", messages.OperationRefund)); refund.Kind != messages.OutcomeSucceeded {
		t.Errorf("a refund is %s", refund.Kind)
	}
}

// The ledger has each effect once, however often it was asked for, and is what the books are
// compared with.
func TestOursGatewayKeepsALedger(t *testing.T) {
	t.Parallel()
	first, second := bench.NewGateway(bench.GatewayConfig{}), bench.NewGateway(bench.GatewayConfig{})
	charge := messages.Operation{ID: "p-1", Kind: messages.OperationAuthorize, Tenant: "acme", AmountMinor: 40, Currency: "EUR", Capture: true}
	refund := messages.Operation{ID: "p-2", Kind: messages.OperationRefund, Tenant: "acme", AmountMinor: 15, Currency: "EUR"}
	first.Do(t.Context(), charge)
	first.Do(t.Context(), charge)
	first.Lookup(t.Context(), charge)
	second.Do(t.Context(), charge) // its delivery went on in another process
	second.Do(t.Context(), refund)
	declined := bench.NewGateway(bench.GatewayConfig{Declined: 1000})
	declined.Do(t.Context(), charge)
	silent := bench.NewGateway(bench.GatewayConfig{Unknown: 1000})
	silent.Do(t.Context(), charge)
	if n := len(declined.Effects()) + len(silent.Effects()); n != 0 {
		t.Errorf("%d effects of a decline and of a call without an answer", n)
	}
	want := []bench.Effect{
		{OperationID: "p-1", Kind: messages.OperationAuthorize, Tenant: "acme", Currency: "EUR", AmountMinor: 40, Capture: true},
		{OperationID: "p-2", Kind: messages.OperationRefund, Tenant: "acme", Currency: "EUR", AmountMinor: 15},
	}
	if merged := bench.MergeEffects(first.Effects(), second.Effects()); !slices.Equal(merged, want) {
		t.Errorf("the ledger is %+v", merged)
	}
}

func newID(t *testing.T) string {
	t.Helper()
	create, err := bench.NewCreate(messages.CaptureAutomatic)
	if err != nil {
		t.Fatal(err)
	}
	return create.PaymentID.String()
}

// TestGatewayTail holds the distribution to its two points, on a clock that costs nothing.
func TestGatewayTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := bench.NewGateway(bench.GatewayConfig{Latency: 50 * time.Millisecond, Tail: 2 * time.Second})
		h := bench.NewHistogram()
		const n = 10_000
		took := make(chan time.Duration, n)
		for range n {
			op := operation(newID(t)+"-1", messages.OperationAuthorize)
			go func() {
				began := time.Now()
				g.Do(t.Context(), op)
				took <- time.Since(began)
			}()
		}
		for range n {
			h.Record(<-took)
		}
		for percentile, want := range map[float64]time.Duration{50: 50 * time.Millisecond, 99: 2 * time.Second} {
			if got := h.At(percentile); got < want*8/10 || got > want*12/10 {
				t.Errorf("p%v is %s, want about %s", percentile, got, want)
			}
		}
		if longest := h.At(100); longest > bench.LatencyMax+bench.LatencyMax/100 {
			t.Errorf("the longest is %s", longest)
		}
		if most := g.InFlightMax(); most != n {
			t.Errorf("%d in flight, want %d", most, n)
		}
	})
}

func TestPublishedPerPayment(t *testing.T) {
	t.Parallel()
	published, stored, err := bench.PublishedPerPayment(t.Context())
	if err != nil || published < 2 || stored < published {
		t.Errorf("%d published of %d: %v", published, stored, err)
	}
}
