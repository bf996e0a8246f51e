package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Fetch returns the snapshot of a simulator in another process, by its base address. A nil client is http.DefaultClient.
func Fetch(ctx context.Context, client *http.Client, address, apiKey string) (Snapshot, error) {
	if client == nil {
		client = http.DefaultClient
	}
	ledger, err := url.JoinPath(address, PathLedger)
	if err != nil {
		return Snapshot{}, fmt.Errorf("fetch ledger: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ledger, http.NoBody)
	if err != nil {
		return Snapshot{}, fmt.Errorf("fetch ledger: %w", err)
	}
	if apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+apiKey)
	}
	response, err := client.Do(request)
	if err != nil {
		return Snapshot{}, fmt.Errorf("fetch ledger: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return Snapshot{}, fmt.Errorf("fetch ledger from %s: it answered %s", ledger, response.Status)
	}
	var snapshot Snapshot
	if err := json.NewDecoder(response.Body).Decode(&snapshot); err != nil {
		return Snapshot{}, fmt.Errorf("fetch ledger from %s: %w", ledger, err)
	}
	return snapshot, nil
}
