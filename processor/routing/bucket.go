package routing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages/bus"
)

// Bucket is the key-value bucket on NATS that holds the rules for all processes, under Key.
const (
	Bucket = "tender_routing"
	Key    = "rules"
)

const (
	bucketStream      = "KV_" + Bucket
	bucketDescription = "Tender: the routing rules in force, over those of the configuration"
	// revisionsKept is the number of sets that the bucket remembers, for a person to look back at.
	revisionsKept = 20
)

// ErrNoBucket says that the bucket is not there: `tender provision` makes it.
var ErrNoBucket = errors.New("the bucket " + Bucket + " is missing")

// ErrNotStored says that the bucket holds no rules, so that the configured ones are in force.
var ErrNotStored = errors.New("the bucket " + Bucket + " holds no rules")

// ErrRevision says that the rules were replaced or removed meanwhile.
var ErrRevision = errors.New("the rules were changed by another command meanwhile")

// Stored is a document as it lies in the bucket.
type Stored struct {
	// Revision grows with every change of the bucket.
	Revision uint64
	StoredAt time.Time
	Document []byte
}

// Read returns the document in the bucket, a rule set or not. It fails with ErrNoBucket or
// ErrNotStored.
func Read(ctx context.Context, kv jetstream.KeyValueManager) (Stored, error) {
	bucket, err := openBucket(ctx, kv)
	if err != nil {
		return Stored{}, err
	}
	entry, err := bucket.Get(ctx, Key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return Stored{}, ErrNotStored
	case err != nil:
		return Stored{}, fmt.Errorf("read the rules in bucket %s: %w", Bucket, err)
	}
	return Stored{Revision: entry.Revision(), StoredAt: entry.Created(), Document: entry.Value()}, nil
}

// Replace stores a document if the bucket is still at this revision, 0 for no rules, and returns
// its revision. It fails with ErrNoBucket or ErrRevision. It does not look into the document: the
// caller has had Parse accept it. An error that wraps context.DeadlineExceeded leaves it unknown
// whether the document was stored: Read tells.
func Replace(ctx context.Context, kv jetstream.KeyValueManager, document []byte, revision uint64) (uint64, error) {
	bucket, err := openBucket(ctx, kv)
	if err != nil {
		return 0, err
	}
	var stored uint64
	if revision == 0 {
		stored, err = bucket.Create(ctx, Key, document)
	} else {
		stored, err = bucket.Update(ctx, Key, document, revision)
	}
	if err != nil {
		return 0, changeFailed("store", err)
	}
	return stored, nil
}

// Remove takes the rules out of the bucket if it is still at this revision, so that every process
// returns to its configured ones. It fails with ErrNoBucket or ErrRevision. An error that wraps
// context.DeadlineExceeded leaves it unknown whether the rules were removed: Read tells.
func Remove(ctx context.Context, kv jetstream.KeyValueManager, revision uint64) error {
	bucket, err := openBucket(ctx, kv)
	if err != nil {
		return err
	}
	if err := bucket.Delete(ctx, Key, jetstream.LastRevision(revision)); err != nil {
		return changeFailed("remove", err)
	}
	return nil
}

func openBucket(ctx context.Context, kv jetstream.KeyValueManager) (jetstream.KeyValue, error) {
	bucket, err := kv.KeyValue(ctx, Bucket)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return nil, ErrNoBucket
	case err != nil:
		return nil, fmt.Errorf("open bucket %s: %w", Bucket, err)
	}
	return bucket, nil
}

func changeFailed(what string, err error) error {
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) || errors.Is(err, jetstream.ErrKeyExists) {
		return ErrRevision
	}
	return fmt.Errorf("%s the rules in bucket %s: %w", what, Bucket, err)
}

// BucketOptions say how JetStream keeps the bucket.
type BucketOptions struct {
	// Replicas is the number of copies in a cluster; 0 means 1.
	Replicas int
	// CheckOnly compares and changes nothing.
	CheckOnly bool
}

// EnsureBucket makes the bucket, or brings it to the settings that Tender needs, and returns its
// changes, as [bus.Provision] does for streams. It may be repeated and deletes nothing.
func EnsureBucket(ctx context.Context, js jetstream.JetStream, o BucketOptions) (bus.Change, error) {
	o.Replicas = max(o.Replicas, 1)
	change := bus.Change{Kind: "bucket", Name: Bucket, Action: bus.ActionUnchanged}
	stream, err := js.Stream(ctx, bucketStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		change.Action = bus.ActionCreate
		if o.CheckOnly {
			return change, nil
		}
		_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: bucketDescription, History: revisionsKept, MaxValueSize: SizeMax,
			Storage: jetstream.FileStorage, Replicas: o.Replicas,
		})
		if err != nil {
			return change, fmt.Errorf("create bucket %s: %w", Bucket, err)
		}
		change.Applied = true
		return change, nil
	}
	if err != nil {
		return change, fmt.Errorf("look at bucket %s: %w", Bucket, err)
	}
	cfg := stream.CachedInfo().Config
	change.Fields = adoptBucket(&cfg, o)
	if len(change.Fields) == 0 {
		return change, nil
	}
	change.Action = bus.ActionUpdate
	if o.CheckOnly {
		return change, nil
	}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return change, fmt.Errorf("update bucket %s: %w", Bucket, err)
	}
	change.Applied = true
	return change, nil
}

// adoptBucket lays the settings that Tender needs over those of the bucket, and returns the
// differences.
func adoptBucket(cfg *jetstream.StreamConfig, o BucketOptions) []bus.FieldChange {
	var changed []bus.FieldChange
	differ := func(field, old, now string) {
		if old != now {
			changed = append(changed, bus.FieldChange{Field: field, Old: old, New: now})
		}
	}
	differ("description", cfg.Description, bucketDescription)
	differ("history", strconv.FormatInt(cfg.MaxMsgsPerSubject, 10), strconv.Itoa(revisionsKept))
	differ("max_value_size", strconv.FormatInt(int64(cfg.MaxMsgSize), 10), strconv.Itoa(SizeMax))
	differ("num_replicas", strconv.Itoa(cfg.Replicas), strconv.Itoa(o.Replicas))
	cfg.Description, cfg.MaxMsgsPerSubject, cfg.MaxMsgSize, cfg.Replicas = bucketDescription, revisionsKept, SizeMax, o.Replicas
	return changed
}
