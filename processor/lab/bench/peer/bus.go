package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamCommands = "PAYMENTS_CMD"
	streamEvents   = "PAYMENTS_EVT"
	topicCommands  = "payments.create"
	topicEvents    = "payments.events"
	durableName    = "workers"
)

// provision creates the streams with the configuration of Tender.
func provision(ctx context.Context, js jetstream.JetStream) error {
	const week = 7 * 24 * time.Hour
	for _, stream := range []jetstream.StreamConfig{
		{Name: streamCommands, Subjects: []string{topicCommands}, MaxAge: week},
		{Name: streamEvents, Subjects: []string{topicEvents}, DenyDelete: true, DenyPurge: true},
	} {
		stream.Retention, stream.Discard, stream.Storage = jetstream.LimitsPolicy, jetstream.DiscardNew, jetstream.FileStorage
		stream.Duplicates, stream.Replicas, stream.AllowDirect = 2*time.Minute, 1, true
		if _, err := js.CreateStream(ctx, stream); err != nil {
			return fmt.Errorf("create stream %s: %w", stream.Name, err)
		}
	}
	return nil
}

// publishCommands publishes n commands like those of Tender's benchmark, and returns when all are
// stored.
func publishCommands(ctx context.Context, js jetstream.JetStream, n int) error {
	for range n {
		paymentID := newID()
		key := "order-" + paymentID.String()
		body, err := json.Marshal(createCommand{
			PaymentID: paymentID, IdempotencyKey: key, AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa",
			CaptureMethod: "automatic", CustomerID: "customer-" + strconv.Itoa(int(paymentID[15])), MerchantReference: key,
		})
		if err != nil {
			return fmt.Errorf("encode command %s: %w", key, err)
		}
		msg := nats.NewMsg(topicCommands)
		msg.Data = body
		msg.Header.Set(wmnats.WatermillUUIDHdr, key)
		msg.Header.Set(nats.MsgIdHdr, key)
		if _, err := js.PublishMsgAsync(msg); err != nil {
			return fmt.Errorf("publish command %s: %w", key, err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	stored, err := streamMessages(ctx, js, streamCommands)
	if err == nil && stored != n {
		err = fmt.Errorf("%d commands are stored of %d", stored, n)
	}
	return err
}

func streamMessages(ctx context.Context, js jetstream.JetStream, name string) (int, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return int(stream.CachedInfo().State.Msgs), nil //nolint:gosec // G115: as many as were published
}

// stallLimit is the limit for the time without a new event.
const stallLimit = 30 * time.Second

// awaitEvents returns when the last of n events was stored.
func awaitEvents(ctx context.Context, js jetstream.JetStream, n int) (time.Time, error) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	seen, since := 0, time.Now()
	for {
		stream, err := js.Stream(ctx, streamEvents)
		if err != nil {
			return time.Time{}, fmt.Errorf("look at stream %s: %w", streamEvents, err)
		}
		state := stream.CachedInfo().State
		switch have := int(state.Msgs); { //nolint:gosec // G115: as many as were published
		case have >= n:
			return state.LastTime, nil
		case have > seen:
			seen, since = have, time.Now()
		case time.Since(since) > stallLimit:
			return time.Time{}, fmt.Errorf("%d events arrived of %d, and none since %s", have, n, stallLimit)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return time.Time{}, errors.Join(ctx.Err(), fmt.Errorf("%d events arrived of %d", seen, n))
		}
	}
}
