package app

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// openRouting puts the configured rules in force. The router takes over those of the bucket once it
// watches.
func openRouting(cfg config.Config, log *zap.Logger) (*routing.Live, error) {
	rules, err := ConfiguredRules(cfg)
	if err != nil {
		return nil, err
	}
	for _, warning := range rules.Warnings() {
		log.Warn("check the routing rules: they probably do not do what their author meant", zap.String("file", cfg.Routing.RulesFile), zap.String("warning", warning))
	}
	return routing.NewLive(routing.LiveConfig{Configured: rules, Gateways: Gateways(cfg), Log: log})
}

// ConfiguredRules returns the routing rules that the configuration names. Mistakes in a file of
// rules are an [term.ExitUsage] error with one line for each.
func ConfiguredRules(cfg config.Config) (*routing.Rules, error) {
	if cfg.Routing.RulesFile == "" {
		return routing.To(cfg.Routing.Default), nil
	}
	document, err := os.ReadFile(cfg.Routing.RulesFile)
	if err != nil {
		return nil, term.UsageError("routing.rules_file: %w", err)
	}
	rules, err := routing.Parse(document, Gateways(cfg))
	if err != nil {
		return nil, RefusedRules(term.ExitUsage, cfg.Routing.RulesFile, err)
	}
	return rules, nil
}

// Gateways are the configured gateways with the vaults of their tokens, as routing rules need them.
func Gateways(cfg config.Config) routing.Gateways {
	all := make(routing.Gateways, len(cfg.Gateways))
	for name, g := range cfg.Gateways {
		all[name] = g.Vault(name)
	}
	return all
}

// RefusedRules puts the name of the document before every mistake in it, as compilers do.
func RefusedRules(code term.ExitCode, document string, err error) error {
	var refused *routing.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	lines := make([]string, 0, len(refused.Mistakes))
	for _, m := range refused.Mistakes {
		lines = append(lines, document+": "+m.String())
	}
	return &term.ExitError{Code: code, Err: fmt.Errorf("the routing rules are refused:\n%s", strings.Join(lines, "\n"))}
}
