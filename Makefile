# `make` builds both programs in place; it needs only Go. `make help` lists the
# targets.

SHELL   := /bin/sh
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD   := go build -trimpath -ldflags "-X scout/cmd/internal/version.stamp=$(VERSION)"

# The version is set above, so Go does not have to run git, which refuses to read
# another user's checkout.
export GOFLAGS += -buildvcs=false

# Each tool is pinned in a separate module file in tools/.
BUF       := go tool -modfile=tools/buf/go.mod buf
LINT      := go tool -modfile=tools/lint/go.mod golangci-lint
GOFUMPT   := go tool -modfile=tools/lint/go.mod gofumpt
PACK      := go tool -modfile=tools/pack/go.mod
VULNCHECK := go tool -modfile=tools/lint/go.mod govulncheck

# The version that `make breaking` compares with, such as AGAINST=v1.0.0.
AGAINST ?= main

# How long each fuzz target runs.
FUZZTIME ?= 1m

.DEFAULT_GOAL := build

.PHONY: build
build: ## build the programs (the default)
	$(BUILD) -o cmd/scout/scout ./cmd/scout
	$(BUILD) -o cmd/scoutmaster/scoutmaster ./cmd/scoutmaster
	$(BUILD) -o cmd/scoutctl/scoutctl ./cmd/scoutctl

.PHONY: test
test: ## vet, and run all tests with the race detector
	go vet ./...
	go test -race ./...

.PHONY: test-long
test-long: ## run the tests that take minutes too: a million files, mutated programs
	go test -race -timeout 30m ./cmd/internal/e2e -long
	go test -timeout 30m ./cmd/internal/chaos -long

# Each minute has its own seed: SEED and TIME=1m repeat it.
.PHONY: chaos
chaos: ## inject random faults and check every list: make chaos [TIME=1h] [SEED=n]
	go run ./cmd/internal/chaos -time $(or $(TIME),1h) $(if $(SEED),-seed $(SEED))

.PHONY: load
load: ## measure 10,000 scouts on one master, and its restart
	go test ./cmd/internal/e2e -run '^TestLoad$$' -v -long -scouts $(or $(SCOUTS),10000) -timeout 10m

.PHONY: hostile
hostile: ## measure the cost of hostile scouts and consumers
	go test ./cmd/internal/e2e -run '^TestHostility$$' -v -long -timeout 10m

.PHONY: fuzz
fuzz: ## run every fuzz target of the tree: make fuzz [FUZZTIME=1m]
	@FUZZTIME=$(FUZZTIME) tools/fuzz

.PHONY: demo
demo: build ## show a scoutmaster and a scout at work: make demo [DIR=/some/directory]
	go run ./cmd/internal/demo $(DIR)

.PHONY: demo-fleet
demo-fleet: build ## show three scoutmasters with one list, over three NATS servers, and kill one
	go run ./cmd/internal/demo -fleet

# With ROWS only some rows run, and docs/benchmarks.md stays as it is.
.PHONY: bench
bench: ## measure speed and memory beside references: make bench [ROWS=regexp]
	go run ./cmd/internal/bench -install $(if $(ROWS),-rows '$(ROWS)',-out docs/benchmarks.md)

.PHONY: bench-short
bench-short: ## run every row of the benchmark in small sizes, about a minute
	go run ./cmd/internal/bench -short

.PHONY: man
man: build ## write manual pages and shell completions to dist/
	mkdir -p dist/man dist/completion
	@for p in scout scoutmaster; do \
		cmd/$$p/$$p man >dist/man/$$p.8 && \
		cmd/$$p/$$p completion bash >dist/completion/$$p.bash && \
		cmd/$$p/$$p completion zsh >dist/completion/_$$p && \
		cmd/$$p/$$p completion fish >dist/completion/$$p.fish || exit 1; \
	done; ls dist/man/* dist/completion/*

# Static programs run anywhere, even in an empty image.
.PHONY: release
release: ## build static programs in dist/bin
	CGO_ENABLED=0 $(BUILD) -o dist/bin/ ./cmd/scout ./cmd/scoutmaster ./cmd/scoutctl

.PHONY: sbom
sbom: release ## list the content of both programs (CycloneDX) in dist/sbom
	mkdir -p dist/sbom
	@for p in scout scoutmaster; do \
		$(PACK) cyclonedx-gomod bin -json -version $(VERSION) -output dist/sbom/$$p.cdx.json dist/bin/$$p || exit 1; \
	done; ls dist/sbom/*

# Without a tag the version is no number; the packages then have 0.0.0+VERSION.
PACKAGE_VERSION = $(if $(filter v%,$(VERSION)),$(VERSION),0.0.0+$(subst -,.,$(VERSION)))

.PHONY: packages
packages: release man sbom ## build deb and rpm packages in dist/packages
	mkdir -p dist/packages
	@export PACKAGE_VERSION=$(PACKAGE_VERSION) GOARCH=$$(go env GOARCH); \
	for p in scout scoutmaster; do for kind in deb rpm; do \
		$(PACK) nfpm package -f packaging/$$p.yaml -p $$kind -t dist/packages/ || exit 1; \
	done; done; ls dist/packages/*

.PHONY: proto
proto: ## generate the Go code of the protocol
	$(BUF) generate

.PHONY: breaking
breaking: ## check that the protocol is compatible with the version AGAINST
	$(BUF) breaking --against '.git#ref=$(AGAINST)'

.PHONY: docs
docs: ## write the generated sections of the documents
	go test ./cmd/scout ./cmd/scoutmaster ./cmd/internal/docs -run 'TestDocs|TestLogs|TestMetrics' -p 1 -update

.PHONY: fmt
fmt: ## format all Go code
	$(GOFUMPT) -w .

.PHONY: lint
lint: format lint-go lint-proto vulnerabilities ## check formats, run linters, find known vulnerabilities

.PHONY: format
format: ## check the format of all Go code
	@diff=$$($(GOFUMPT) -d .) && test -z "$$diff" || { echo "$$diff"; echo "not formatted: run make fmt" >&2; exit 1; }

.PHONY: lint-go
lint-go:
	$(LINT) run ./...

.PHONY: lint-proto
lint-proto:
	$(BUF) lint

.PHONY: vulnerabilities
vulnerabilities:
	@VULNCHECK="$(VULNCHECK)" tools/vulnerabilities

.PHONY: check
check: prove test bench-short ## run everything that CI runs
	$(MAKE) fuzz FUZZTIME=3s

.PHONY: prove
prove: generated tidy versions lint cross ## run everything that CI runs, without the tests

.PHONY: generated
generated: ## check that generated code and documents are current
	@BUF="$(BUF)" tools/generated
	go test ./cmd/scout ./cmd/scoutmaster ./cmd/internal/docs -run 'TestDocs|TestLogs|TestMetrics'

.PHONY: tidy
tidy: ## check that the module files are tidy
	go mod tidy -diff
	cd tools/buf && go mod tidy -diff
	cd tools/lint && go mod tidy -diff
	cd tools/nats && go mod tidy -diff
	cd tools/pack && go mod tidy -diff

.PHONY: versions
versions: ## check the versions of the four fixed packages
	@tools/versions

# Only the packages, not the tests, which may need Linux.
.PHONY: cross
cross: ## compile for other systems
	GOOS=darwin GOARCH=arm64 go build ./...

.PHONY: clean
clean: ## remove everything that was built
	rm -rf cmd/scout/scout cmd/scoutmaster/scoutmaster cmd/scoutctl/scoutctl dist

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
