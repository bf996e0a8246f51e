package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/webhook"
	"github.com/seed-384b1f8a/tender/processor/webhook/stripehook"
)

// webhookGrace bounds the time for requests that are in progress when the process leaves.
const webhookGrace = 10 * time.Second

// serveWebhooks plays the role webhook until ctx ends.
func (p *Process) serveWebhooks(ctx context.Context) error {
	log := p.log.Named("webhook")
	decoders, err := webhookDecoders(p.cfg)
	if err != nil {
		return err
	}
	defer closeDecoders(decoders)
	handler, err := webhook.NewHandler(p.js, decoders, webhook.Config{}, log)
	if err != nil {
		return err
	}
	listener := p.webhooks
	if listener == nil {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", p.cfg.Webhook.Listen); err != nil {
			return fmt.Errorf("listen for webhooks on %s: %w", p.cfg.Webhook.Listen, err)
		}
	}
	for name := range decoders {
		log.Info("listening for the events of a gateway", zap.String("gateway", name),
			zap.String("url", "http://"+listener.Addr().String()+webhook.PathPrefix+name))
	}
	return webhook.Serve(ctx, listener, handler, min(webhookGrace, p.cfg.Shutdown.DrainTimeout))
}

// webhookDecoders makes the decoder of each gateway that has a webhook secret.
func webhookDecoders(cfg config.Config) (map[string]webhook.Decoder, error) {
	decoders := make(map[string]webhook.Decoder)
	for name, g := range cfg.Gateways {
		var secrets []string
		for _, secret := range g.WebhookSecrets() {
			secrets = append(secrets, secret.Reveal())
		}
		if secrets == nil {
			continue
		}
		decoder, err := webhookDecoder(g, secrets, cfg.Webhook.MaxAge)
		if err != nil {
			return nil, fmt.Errorf("gateway %s: %w", name, err)
		}
		decoders[name] = decoder
	}
	return decoders, nil
}

// closeDecoders closes the connections that some decoders hold.
func closeDecoders(decoders map[string]webhook.Decoder) {
	for _, d := range decoders {
		if holding, ok := d.(interface{ Close() }); ok {
			holding.Close()
		}
	}
}

// webhookDecoder makes the decoder of one gateway.
func webhookDecoder(g config.Gateway, secrets []string, maxAge time.Duration) (webhook.Decoder, error) {
	if g.Kind == config.GatewayStripe {
		return stripehook.New(stripehook.Config{
			Secrets: secrets, MaxAge: maxAge, APIKey: g.APIKey.Reveal(), Account: g.Stripe.Account, URL: g.URL.Reveal(),
		})
	}
	// The other kinds send the events of Tender's own protocol.
	return webhook.NewProtocol(secrets, maxAge, nil)
}
