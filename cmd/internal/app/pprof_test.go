package app

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestPprofServesProfilesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	stop, err := ServePprof(t.Context(), "127.0.0.1:0", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	address, ok := logs.All()[0].ContextMap()["address"].(string)
	if !ok {
		t.Fatalf("the log does not say where: %v", logs.All())
	}
	url := "http://" + address + "/debug/pprof/goroutine?debug=1"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), "ServePprof") {
		t.Errorf("%s: %v\n%s", response.Status, err, text)
	}
	stop()
	if after, err := client.Do(request.Clone(t.Context())); err == nil {
		_ = after.Body.Close()
		t.Error("it is still served")
	}
}

func TestPprofStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"127.0.0.1:6060": true, "[::1]:0": true, "localhost:6060": true,
		"0.0.0.0:6060": false, ":6060": false, "10.0.0.1:6060": false, "example.com:6060": false, "6060": false, "": false,
	} {
		if err := CheckPprof(address); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
}
