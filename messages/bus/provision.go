package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// ProvisionOptions say how Provision goes about it.
type ProvisionOptions struct {
	// CheckOnly compares and changes nothing.
	CheckOnly bool
}

// Action is a step of Provision on a stream or consumer.
type Action string

// The actions.
const (
	ActionCreate    Action = "create"
	ActionUpdate    Action = "update"
	ActionUnchanged Action = "unchanged"
)

// Change is the step that Provision took on one stream or consumer, or with CheckOnly would take.
type Change struct {
	// Kind is "stream", "consumer" or "bucket".
	Kind    string        `json:"kind"`
	Name    string        `json:"name"`
	Action  Action        `json:"action"`
	Applied bool          `json:"applied"`
	Fields  []FieldChange `json:"fields,omitempty"`
}

// FieldChange is one setting that differs, as text.
type FieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// String says it for people: "stream PAYMENTS_CMD: updated max_age 24h0m0s -> 168h0m0s".
func (c Change) String() string {
	text := c.Kind + " " + c.Name + ": "
	switch {
	case c.Action == ActionCreate && c.Applied:
		text += "created"
	case c.Action == ActionCreate:
		text += "missing"
	case c.Action == ActionUpdate && c.Applied:
		text += "updated"
	case c.Action == ActionUpdate:
		text += "differs in"
	default:
		text += "unchanged"
	}
	for i, f := range c.Fields {
		if i > 0 {
			text += ","
		}
		text += " " + f.Field + " " + f.Old + " -> " + f.New
	}
	return text
}

// RefusedChangeError is a difference that Provision will not make go away.
type RefusedChangeError struct {
	Kind, Name string
	FieldChange
	// Reason says why not.
	Reason string
}

// Error implements error.
func (e *RefusedChangeError) Error() string {
	return fmt.Sprintf("%s %s: %s %s -> %s: %s", e.Kind, e.Name, e.Field, e.Old, e.New, e.Reason)
}

// Provision brings the streams and the consumers to Streams, WorkerConsumer and CollectorConsumer
// and returns what it changed, one Change for each, in order. It may be repeated, and run by
// several instances at once. Settings that Tender doesn't define, such as placement or compression,
// stay as they are.
//
// It looks at everything before it changes anything. It never deletes a stream, and refuses what
// the server can't change or what would delete messages, with a *RefusedChangeError for each
// (joined).
func Provision(ctx context.Context, js jetstream.JetStream, o StreamOptions, how ProvisionOptions) ([]Change, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	steps, err := plan(ctx, js, o)
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(steps))
	for _, s := range steps {
		if s.change.Action != ActionUnchanged && !how.CheckOnly {
			if err := s.apply(ctx); err != nil {
				return changes, fmt.Errorf("provision: %s %s %s: %w", s.change.Action, s.change.Kind, s.change.Name, err)
			}
			s.change.Applied = true
		}
		changes = append(changes, s.change)
	}
	return changes, nil
}

// step is one change with the way to make it.
type step struct {
	change Change
	apply  func(context.Context) error
}

func plan(ctx context.Context, js jetstream.JetStream, o StreamOptions) ([]step, error) {
	var steps []step
	var refused []error
	for _, want := range Streams(o) {
		s, err := planStream(ctx, js, want)
		if err != nil && !isRefusedChange(err) {
			return nil, err
		}
		steps, refused = append(steps, s), append(refused, err)
	}
	for _, c := range []consumerPlan{
		{js, messages.StreamCommands, WorkerConsumer(o)},
		{js, StreamAdvisories, CollectorConsumer()},
	} {
		s, err := c.plan(ctx)
		if err != nil && !isRefusedChange(err) {
			return nil, err
		}
		steps, refused = append(steps, s), append(refused, err)
	}
	return steps, errors.Join(refused...)
}

func isRefusedChange(err error) bool {
	var refused *RefusedChangeError
	return errors.As(err, &refused)
}

func planStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (step, error) {
	change := Change{Kind: "stream", Name: want.Name, Action: ActionUnchanged}
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		change.Action = ActionCreate
		return step{change, func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, want)
			return err
		}}, nil
	}
	if err != nil {
		return step{}, fmt.Errorf("look at stream %s: %w", want.Name, err)
	}
	info := stream.CachedInfo()
	change.Fields = differences(streamSettings(info.Config, want), streamSettings(want, want))
	if len(change.Fields) > 0 {
		change.Action = ActionUpdate
	}
	if err := refuseStreamChange(info, want, change.Fields); err != nil {
		return step{}, err
	}
	next := adoptStream(info.Config, want)
	return step{change, func(ctx context.Context) error {
		_, err := js.UpdateStream(ctx, next)
		return err
	}}, nil
}

// adoptStream lays Tender's settings over those of the stream.
func adoptStream(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	have.Description, have.Subjects, have.Discard = want.Description, want.Subjects, want.Discard
	have.MaxAge, have.MaxBytes, have.MaxMsgs, have.Duplicates = want.MaxAge, want.MaxBytes, want.MaxMsgs, want.Duplicates
	have.Replicas = want.Replicas
	have.DenyDelete = have.DenyDelete || want.DenyDelete
	have.DenyPurge = have.DenyPurge || want.DenyPurge
	have.AllowDirect, have.AllowAtomicPublish = want.AllowDirect, want.AllowAtomicPublish
	have.Metadata = adoptMetadata(have.Metadata, want.Metadata)
	return have
}

// refuseStreamChange finds the differences that the server can't make go away, or only by deleting
// messages.
func refuseStreamChange(info *jetstream.StreamInfo, want jetstream.StreamConfig, fields []FieldChange) error {
	var refused []error
	for _, f := range fields {
		reason := ""
		switch f.Field {
		case "storage", "retention":
			reason = "cannot be changed on an existing stream: move its messages to a new one"
		case "max_age":
			if want.MaxAge > 0 && info.State.Msgs > 0 && info.State.FirstTime.Before(info.TimeStamp.Add(-want.MaxAge)) {
				reason = "would delete the messages that are older"
			}
		case "max_bytes":
			if want.MaxBytes >= 0 && info.State.Bytes > uint64(want.MaxBytes) {
				reason = fmt.Sprintf("the stream holds %d bytes already", info.State.Bytes)
			}
		}
		if reason != "" {
			refused = append(refused, &RefusedChangeError{Kind: "stream", Name: want.Name, FieldChange: f, Reason: reason})
		}
	}
	return errors.Join(refused...)
}

// consumerPlan is a consumer that should be there.
type consumerPlan struct {
	js     jetstream.JetStream
	stream string
	want   jetstream.ConsumerConfig
}

func (p consumerPlan) plan(ctx context.Context) (step, error) {
	want := p.want
	change := Change{Kind: "consumer", Name: want.Durable, Action: ActionUnchanged}
	consumer, err := p.js.Consumer(ctx, p.stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		change.Action = ActionCreate
		return step{change, func(ctx context.Context) error {
			_, err := p.js.CreateConsumer(ctx, p.stream, want)
			return err
		}}, nil
	}
	if err != nil {
		return step{}, fmt.Errorf("look at consumer %s of stream %s: %w", want.Durable, p.stream, err)
	}
	have := consumer.CachedInfo().Config
	change.Fields = differences(consumerSettings(have, want), consumerSettings(want, want))
	if len(change.Fields) > 0 {
		change.Action = ActionUpdate
	}
	for _, f := range change.Fields {
		if f.Field == "ack_policy" || f.Field == "deliver_policy" {
			return step{}, &RefusedChangeError{
				Kind: "consumer", Name: want.Durable, FieldChange: f,
				Reason: "cannot be changed on an existing consumer: delete it when no worker runs",
			}
		}
	}
	next := adoptConsumer(have, want)
	return step{change, func(ctx context.Context) error {
		_, err := p.js.UpdateConsumer(ctx, p.stream, next)
		return err
	}}, nil
}

// adoptConsumer lays Tender's settings over those of the consumer.
func adoptConsumer(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	have.Description, have.FilterSubject, have.FilterSubjects = want.Description, want.FilterSubject, want.FilterSubjects
	have.AckWait, have.MaxDeliver, have.MaxAckPending = want.AckWait, want.MaxDeliver, want.MaxAckPending
	have.BackOff = nil
	have.Metadata = adoptMetadata(have.Metadata, want.Metadata)
	return have
}

// setting is one defined setting as text. The lists of present and of wanted settings run side by
// side.
type setting struct{ name, value string }

// streamSettings lists the settings that Tender defines of a stream. Metadata and prohibitions of
// others do not count.
func streamSettings(c, want jetstream.StreamConfig) []setting {
	return []setting{
		{"description", c.Description},
		{"subjects", strings.Join(slices.Sorted(slices.Values(c.Subjects)), " ")},
		{"retention", c.Retention.String()},
		{"discard", c.Discard.String()},
		{"storage", c.Storage.String()},
		{"max_age", durationText(c.MaxAge)},
		{"max_bytes", fmt.Sprint(c.MaxBytes)},
		{"max_msgs", fmt.Sprint(c.MaxMsgs)},
		{"duplicate_window", durationText(c.Duplicates)},
		{"num_replicas", fmt.Sprint(c.Replicas)},
		{"deny_delete", fmt.Sprint(c.DenyDelete || !want.DenyDelete)},
		{"deny_purge", fmt.Sprint(c.DenyPurge || !want.DenyPurge)},
		{"allow_direct", fmt.Sprint(c.AllowDirect)},
		{"allow_atomic", fmt.Sprint(c.AllowAtomicPublish)},
		{"metadata", metadataText(c.Metadata, want.Metadata)},
	}
}

// consumerSettings lists the settings that Tender defines of a consumer. A back-off would replace
// AckWait, so it must be none.
func consumerSettings(c, want jetstream.ConsumerConfig) []setting {
	return []setting{
		{"description", c.Description},
		{"deliver_policy", c.DeliverPolicy.String()},
		{"ack_policy", c.AckPolicy.String()},
		{"ack_wait", c.AckWait.String()},
		{"backoff", fmt.Sprint(c.BackOff)},
		{"max_deliver", fmt.Sprint(c.MaxDeliver)},
		{"max_ack_pending", fmt.Sprint(c.MaxAckPending)},
		{"filter_subjects", filterText(c)},
		{"metadata", metadataText(c.Metadata, want.Metadata)},
	}
}

func filterText(c jetstream.ConsumerConfig) string {
	if len(c.FilterSubjects) == 0 {
		return c.FilterSubject
	}
	return strings.Join(c.FilterSubjects, " ")
}

func differences(have, want []setting) []FieldChange {
	var fields []FieldChange
	for i := range want {
		if have[i] != want[i] {
			fields = append(fields, FieldChange{Field: want[i].name, Old: have[i].value, New: want[i].value})
		}
	}
	return fields
}

func durationText(d time.Duration) string {
	if d == 0 {
		return "unlimited"
	}
	return d.String()
}

// metadataText shows the keys that Tender defines; the server keeps its own beside them.
func metadataText(have, want map[string]string) string {
	var pairs []string
	for key := range want {
		pairs = append(pairs, key+"="+have[key])
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}

func adoptMetadata(have, want map[string]string) map[string]string {
	adopted := make(map[string]string, len(have)+len(want))
	for key, value := range have {
		if !strings.HasPrefix(key, "_nats.") { // The server's own, which it writes itself.
			adopted[key] = value
		}
	}
	for key, value := range want {
		adopted[key] = value
	}
	return adopted
}
