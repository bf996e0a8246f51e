package routing

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Source is where a set of rules comes from.
type Source string

// The sources.
const (
	SourceConfiguration Source = "configuration"
	SourceBucket        Source = "bucket"
)

// InForce is which rules decide, and what was refused since they do.
type InForce struct {
	Rules  *Rules
	Source Source
	// Revision is that of the bucket; 0 for the configured rules.
	Revision uint64
	// Refused is the revision in the bucket that this process does not take, and Reason why; 0 and nil if there is none.
	Refused uint64
	Reason  error

	// What was taken and refused, since a bucket that was lost and made again counts its revisions anew.
	document, refusedDocument []byte
}

// LiveConfig says what a Live starts with.
type LiveConfig struct {
	// Configured are the rules for as long as the bucket holds none. Required.
	Configured *Rules
	// Gateways are the names that a set in the bucket may use.
	Gateways []string
	Log      *zap.Logger
	// CheckInterval is how often the bucket is looked at besides being watched, so that a watch that has fallen silent does
	// not go unnoticed, and how often a missing bucket is looked for; default 10 s.
	CheckInterval time.Duration
}

// Live is the rules in force in this process. Route may be called at any time from anywhere; Watch keeps the rules up to
// date with the bucket.
type Live struct {
	cfg     LiveConfig
	inForce atomic.Pointer[InForce]
	// looked is closed once the bucket was looked at for the first time.
	looked     chan struct{}
	lookedOnce sync.Once
}

// NewLive returns the configured rules, in force until Watch finds others.
func NewLive(cfg LiveConfig) (*Live, error) {
	switch {
	case cfg.Configured == nil:
		return nil, errors.New("route payments: no rules are configured")
	case cfg.Log == nil:
		cfg.Log = zap.NewNop()
	}
	if cfg.CheckInterval == 0 {
		cfg.CheckInterval = 10 * time.Second
	}
	l := &Live{cfg: cfg, looked: make(chan struct{})}
	l.inForce.Store(l.configured())
	return l, nil
}

// Route chooses the gateway for a payment by the rules in force. One call sees one set, and takes no lock.
func (l *Live) Route(f Facts) payment.Route { return l.inForce.Load().Rules.Route(f) }

// InForce returns which rules decide at the moment.
func (l *Live) InForce() InForce { return *l.inForce.Load() }

// Looked is closed once Watch knows what the bucket holds, or that there is none. Until then the configured rules decide
// though others may have been set.
func (l *Live) Looked() <-chan struct{} { return l.looked }

func (l *Live) noteLooked() { l.lookedOnce.Do(func() { close(l.looked) }) }

func (l *Live) configured() *InForce {
	return &InForce{Rules: l.cfg.Configured, Source: SourceConfiguration}
}

// take puts a document of the bucket in force, or refuses it and leaves the rules as they are. Only Watch calls it.
func (l *Live) take(document []byte, revision uint64) {
	now := *l.inForce.Load()
	switch {
	case revision == now.Revision && bytes.Equal(document, now.document):
		return
	case revision == now.Refused && bytes.Equal(document, now.refusedDocument):
		return
	}
	rules, err := Parse(document, l.cfg.Gateways)
	if err != nil {
		now.Refused, now.Reason, now.refusedDocument = revision, err, document
		l.inForce.Store(&now)
		l.cfg.Log.Error("the routing rules in the bucket are refused: the last good ones stay in force",
			zap.Uint64("refused_revision", revision), zap.String("source", string(now.Source)), zap.Uint64("revision", now.Revision), zap.Error(err))
		return
	}
	l.inForce.Store(&InForce{Rules: rules, Source: SourceBucket, Revision: revision, document: document})
	l.cfg.Log.Info("routing rules from the bucket are in force", zap.Uint64("revision", revision), zap.Int("rules", len(rules.All())))
	for _, warning := range rules.Warnings() {
		l.cfg.Log.Warn("the routing rules are probably not what was meant", zap.Uint64("revision", revision), zap.String("warning", warning))
	}
}

// fallBack puts the configured rules in force, since the bucket is there and holds none.
func (l *Live) fallBack() {
	before := l.inForce.Swap(l.configured())
	if before.Source != SourceConfiguration {
		l.cfg.Log.Info("the bucket holds no routing rules any more: the configured ones are in force", zap.Uint64("revision_before", before.Revision))
	}
}
