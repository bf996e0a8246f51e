# The targets a person and the continuous integration use alike. `make` alone lists them.
# GNU Make 3.81 (macOS) or newer.

SHELL := /bin/sh
.DEFAULT_GOAL := help

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Given on the command line: `make test TESTFLAGS=-run=Refund`, `make dev ARGS=--help`.
TESTFLAGS ?=
ARGS      ?=

PACKAGES := ./...
# The package that holds the version of both programs.
TERM     := github.com/seed-384b1f8a/tender/cmd/internal/term
LINTER   := bin/golangci-lint

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: build postgres ## run scripted payments through the real thing, show them, check the books (ARGS=...)
	@bin/tenderlab demo $(ARGS)

.PHONY: dev
dev: build postgres ## keep NATS, PostgreSQL, the simulator and all roles running to play with (ARGS=...)
	@bin/tenderlab dev $(ARGS)

.PHONY: bench
bench: build postgres ## measure throughput and latency against what PostgreSQL allows (ARGS=--quick: the short of it)
	@bin/tenderlab bench $(ARGS)

.PHONY: build
build: ## build the static programs bin/tender and bin/tenderlab
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X $(TERM).version=$(VERSION)' -o bin/ ./cmd/tender ./cmd/tenderlab

.PHONY: test
test: postgres ## run all tests (TESTFLAGS=...)
	$(GO) test $(TESTFLAGS) $(PACKAGES)

.PHONY: test-race
test-race: postgres compiler ## run all tests under the race detector (TESTFLAGS=...)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) $(PACKAGES)

.PHONY: faults
faults: build postgres ## break everything on purpose, with three seeds, and prove that nothing is lost (some thirteen minutes; ARGS=...)
	@bin/tenderlab simulate --seeds 12000
	@bin/tenderlab chaos --seeds 3 $(ARGS)

.PHONY: simulation-mutants
simulation-mutants: ## put known bugs back into a copy, one by one, and see the simulation find each (some five minutes)
	$(GO) run ./processor/lab/simulation/mutants $(ARGS)

# The peer is a module of its own, so that Watermill is not among the product's dependencies.
.PHONY: bench-peer
bench-peer: build postgres ## measure Tender and the same work done with Watermill in turn, print the ratio (ARGS=...)
	$(GO) -C processor/lab/bench/peer build -trimpath -o "$(CURDIR)/bin/peer" .
	@bin/peer compare --key runs.throughput.payments_per_second $(ARGS) -- \
		bin/tenderlab bench --quiet --only throughput --payments 50000 --json --nats {nats} --postgres {postgres}

.PHONY: lint
lint: $(LINTER) ## check formatting, style, the import rules and the English of comments
	$(LINTER) run
	$(GO) -C .ci/tools test ./plain
	$(GO) -C .ci/tools run ./plain "$(CURDIR)"

.PHONY: plain-lower
plain-lower: ## write down that comments and messages got better (lint wants it)
	$(GO) -C .ci/tools run ./plain -lower "$(CURDIR)"

.PHONY: fmt
fmt: $(LINTER) ## format the code
	$(LINTER) fmt

.PHONY: postgres
postgres: ## make sure that the PostgreSQL server programs are here (installs them on Debian as root)
	@sh deployments/postgres/ensure.sh

.PHONY: compiler
compiler: ## make sure that a C compiler is here, which the race detector needs (likewise)
	@sh .ci/compiler.sh "$$($(GO) env CC)"

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

# The tools are a module of their own, so that their dependencies are not the product's.
$(LINTER): .ci/tools/go.mod .ci/tools/go.sum
	$(GO) -C .ci/tools build -trimpath -o "$(CURDIR)/$(LINTER)" github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# The nats CLI, as the runbook's recipes use it. The test of the runbook makes it by itself.
bin/nats: .ci/tools/nats/go.mod .ci/tools/nats/go.sum
	$(GO) -C .ci/tools/nats build -trimpath -o "$(CURDIR)/$@" github.com/nats-io/natscli/nats
