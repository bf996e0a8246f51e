package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// openRouting puts the configured rules in force. Those of the bucket follow once it is watched.
func openRouting(cfg config.Config, log *zap.Logger) (*routing.Live, error) {
	rules, err := configuredRules(cfg)
	if err != nil {
		return nil, err
	}
	for _, warning := range rules.Warnings() {
		log.Warn("check the routing rules: they probably do not do what their author meant", zap.String("file", cfg.Routing.RulesFile), zap.String("warning", warning))
	}
	return routing.NewLive(routing.LiveConfig{Configured: rules, Gateways: gatewayNames(cfg), Log: log})
}

// configuredRules are those that the configuration names.
func configuredRules(cfg config.Config) (*routing.Rules, error) {
	if cfg.Routing.RulesFile == "" {
		return routing.To(cfg.Routing.Default), nil
	}
	document, err := os.ReadFile(cfg.Routing.RulesFile)
	if err != nil {
		return nil, usageError("routing.rules_file: %w", err)
	}
	rules, err := routing.Parse(document, gatewayNames(cfg))
	if err != nil {
		return nil, refusedRules(exitUsage, cfg.Routing.RulesFile, err)
	}
	return rules, nil
}

// configuredFrom says for people where those rules come from.
func configuredFrom(cfg config.Config) string {
	if cfg.Routing.RulesFile == "" {
		return "routing.default"
	}
	return cfg.Routing.RulesFile
}

func gatewayNames(cfg config.Config) []string { return slices.Sorted(maps.Keys(cfg.Gateways)) }

// refusedRules puts the document's name before every mistake, as compilers do.
func refusedRules(code exitCode, place string, err error) error {
	var refused *routing.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	lines := make([]string, 0, len(refused.Mistakes))
	for _, m := range refused.Mistakes {
		lines = append(lines, place+": "+m.String())
	}
	return &exitError{code: code, err: fmt.Errorf("the routing rules are refused:\n%s", strings.Join(lines, "\n"))}
}

// readRules reads a document from a file, or from standard input for "-", without judging it.
func (c *cli) readRules(file string) ([]byte, error) {
	var document []byte
	var err error
	if file == "-" {
		// One byte more than there may be is enough to be refused.
		document, err = io.ReadAll(io.LimitReader(c.stdin, routing.SizeMax+1))
	} else {
		document, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usageError("read routing rules: %w", err)
	}
	return document, nil
}

// rulesShown are the rules that the processes go by, as one looks at them from outside.
type rulesShown struct {
	Source   routing.Source `json:"source"`
	Revision uint64         `json:"revision,omitempty"`
	StoredAt time.Time      `json:"stored_at,omitzero"`
	// From is the place of configured rules: a file, or routing.default.
	From     string            `json:"from,omitempty"`
	Rules    []routing.Rule    `json:"rules"`
	Warnings []string          `json:"warnings,omitempty"`
	Mistakes []routing.Mistake `json:"mistakes,omitempty"`

	rules    *routing.Rules
	document []byte
	// bucketMissing and refused are why the rules may not be those that are meant.
	bucketMissing bool
	refused       error
}

// rulesInForce reads what a process with this configuration goes by. If it refuses what is in the bucket, there are no
// rules to show: running processes keep their last good ones, and one that starts takes the configured ones.
func rulesInForce(ctx context.Context, kv jetstream.KeyValueManager, cfg config.Config) (rulesShown, error) {
	stored, err := routing.Read(ctx, kv)
	switch {
	case errors.Is(err, routing.ErrNoBucket), errors.Is(err, routing.ErrNotStored):
		rules, configuredErr := configuredRules(cfg)
		if configuredErr != nil {
			return rulesShown{}, configuredErr
		}
		shown := rulesShown{
			Source: routing.SourceConfiguration, From: configuredFrom(cfg), bucketMissing: errors.Is(err, routing.ErrNoBucket),
		}
		return shown.with(rules), nil
	case err != nil:
		return rulesShown{}, err
	}
	shown := rulesShown{Source: routing.SourceBucket, Revision: stored.Revision, StoredAt: stored.StoredAt, document: stored.Document}
	rules, err := routing.Parse(stored.Document, gatewayNames(cfg))
	var refused *routing.RefusedError
	if errors.As(err, &refused) {
		shown.refused = refusedRules(exitNo, shown.place(), err)
		shown.Rules, shown.Mistakes = []routing.Rule{}, refused.Mistakes
		return shown, nil
	}
	return shown.with(rules), err
}

func (s rulesShown) with(rules *routing.Rules) rulesShown {
	s.rules, s.Rules, s.Warnings = rules, rules.All(), rules.Warnings()
	return s
}

// place says for people where the rules are.
func (s rulesShown) place() string {
	if s.Source == routing.SourceConfiguration {
		return "configuration (" + s.From + ")"
	}
	return fmt.Sprintf("bucket %s, revision %d", routing.Bucket, s.Revision)
}
