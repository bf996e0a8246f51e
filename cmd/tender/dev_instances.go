package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// runInstances plays all roles in each of n processes' worth of parts, as n processes would that share one bus and one
// database, for as long as during runs; the role webhook, of which there is one port, in the first. Then they drain. If one of
// them fails, the context of during ends with its error.
func (s *sandbox) runInstances(ctx context.Context, n int, log *zap.Logger, during func(context.Context) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	instances, err := s.openInstances(ctx, n, log)
	if err != nil {
		return err
	}
	serving, drain := context.WithCancel(context.WithoutCancel(ctx))
	defer drain()
	ended := make(chan error, n)
	for _, instance := range instances {
		go func() {
			err := instance.run(serving)
			if err != nil {
				fail(err)
			}
			ended <- err
		}()
	}
	errs := []error{during(ctx)}
	drain()
	for range instances {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func (s *sandbox) openInstances(ctx context.Context, n int, log *zap.Logger) ([]*process, error) {
	instances := make([]*process, 0, n)
	for i := range n {
		cfg, log := s.config, log
		if n > 1 {
			cfg.NATS.Name = fmt.Sprintf("%s %d", cfg.NATS.Name, i+1)
			log = log.With(zap.Int("instance", i+1))
		}
		o := openOptions{wrapGateway: simulateDialErrors}
		if i == 0 {
			cfg.Roles, o.webhooks = append(slices.Clone(cfg.Roles), config.RoleWebhook), s.webhooks
		}
		instance, err := open(ctx, cfg, log, o)
		if err != nil {
			for _, opened := range instances {
				opened.close()
			}
			return nil, err
		}
		instances = append(instances, instance)
	}
	return instances, nil
}

// simulateDialErrors adds the one fault that a server cannot have by itself.
func simulateDialErrors(_ string, g gateway.Gateway) gateway.Gateway { return sim.NewDialErrors(g) }
