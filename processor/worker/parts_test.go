package worker_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/processor/worker"
)

func TestAWorkerSaysWhichPartsAreMissing(t *testing.T) {
	t.Parallel()
	_, err := worker.New(worker.Parts{}, worker.Config{})
	const want = "make a worker: without JetStream, Store, Gateways, Router, Log, Clock, Now"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
