# Scout. `make` builds both programs in place, with nothing but Go.

SHELL   := /bin/sh
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD   := go build -trimpath -ldflags "-X scout/cmd/internal/cli.version=$(VERSION)"

# The version is stamped above, so Go need not ask git, which refuses to look
# into a checkout of another user's.
export GOFLAGS += -buildvcs=false

# Tools are pinned in module files of their own: see tools/.
BUF       := go tool -modfile=tools/buf/go.mod buf
LINT      := go tool -modfile=tools/lint/go.mod golangci-lint
GOFUMPT   := go tool -modfile=tools/lint/go.mod gofumpt
PACK      := go tool -modfile=tools/pack/go.mod
VULNCHECK := go tool -modfile=tools/lint/go.mod govulncheck

# What the change is compared with: `make breaking AGAINST=v1.0.0`.
AGAINST ?= main

# How long each fuzz target runs.
FUZZTIME ?= 1m

.DEFAULT_GOAL := build

.PHONY: build
build: ## build both programs (the default)
	$(BUILD) -o cmd/scout/scout ./cmd/scout
	$(BUILD) -o cmd/scoutmaster/scoutmaster ./cmd/scoutmaster

.PHONY: test
test: ## vet, and run all tests with the race detector
	go vet ./...
	go test -race ./...

.PHONY: test-long
test-long: ## the tests that take minutes too: a million files, programs broken on purpose
	go test -race -timeout 30m ./cmd/internal/e2e -long
	go test -timeout 30m ./cmd/internal/chaos -long

# Each minute has a seed of its own: SEED and TIME=1m play one again.
.PHONY: chaos
chaos: ## break things at random and judge every list: make chaos [TIME=1h] [SEED=n]
	go run ./cmd/internal/chaos -time $(or $(TIME),1h) $(if $(SEED),-seed $(SEED))

.PHONY: load
load: ## 10,000 scouts on one master, which restarts: prints what that costs it
	go test ./cmd/internal/e2e -run '^TestLoad$$' -v -long -scouts $(or $(SCOUTS),10000) -timeout 10m

.PHONY: hostile
hostile: ## what hostile scouts and consumers cost a master: prints a table
	go test ./cmd/internal/e2e -run '^TestHostility$$' -v -long -timeout 10m

.PHONY: fuzz
fuzz: ## run every fuzz target of the tree: make fuzz [FUZZTIME=1m]
	@FUZZTIME=$(FUZZTIME) tools/fuzz

.PHONY: demo
demo: build ## show a scoutmaster and a scout at work: make demo [DIR=/some/where]
	go run ./cmd/internal/demo $(DIR)

# With ROWS only some rows are run, and the page stays as it is.
.PHONY: bench
bench: ## measure Scout beside its references, and write docs/benchmarks.md: make bench [ROWS=regexp]
	go run ./cmd/internal/bench -install $(if $(ROWS),-rows '$(ROWS)',-out docs/benchmarks.md)

.PHONY: bench-short
bench-short: ## does every row of the benchmark run? small sizes, about a minute
	go run ./cmd/internal/bench -short

.PHONY: man
man: build ## write the manual pages and the shells' completions to dist/
	mkdir -p dist/man dist/completion
	@for p in scout scoutmaster; do \
		cmd/$$p/$$p -man >dist/man/$$p.8 && \
		cmd/$$p/$$p -completion bash >dist/completion/$$p.bash && \
		cmd/$$p/$$p -completion zsh >dist/completion/_$$p && \
		cmd/$$p/$$p -completion fish >dist/completion/$$p.fish || exit 1; \
	done; ls dist/man/* dist/completion/*

# Static, so that they run anywhere, an empty image included.
.PHONY: release
release: ## build both programs for others' machines: dist/bin
	CGO_ENABLED=0 $(BUILD) -o dist/bin/ ./cmd/scout ./cmd/scoutmaster

.PHONY: sbom
sbom: release ## list what is in both programs (CycloneDX): dist/sbom
	mkdir -p dist/sbom
	@for p in scout scoutmaster; do \
		$(PACK) cyclonedx-gomod bin -json -version $(VERSION) -output dist/sbom/$$p.cdx.json dist/bin/$$p || exit 1; \
	done; ls dist/sbom/*

# A version that is no number, as before the first tag, becomes 0.0.0 of it.
PACKAGE_VERSION = $(if $(filter v%,$(VERSION)),$(VERSION),0.0.0+$(subst -,.,$(VERSION)))

.PHONY: packages
packages: release man sbom ## make debs and rpms of both programs: dist/packages
	mkdir -p dist/packages
	@export PACKAGE_VERSION=$(PACKAGE_VERSION) GOARCH=$$(go env GOARCH); \
	for p in scout scoutmaster; do for kind in deb rpm; do \
		$(PACK) nfpm package -f packaging/$$p.yaml -p $$kind -t dist/packages/ || exit 1; \
	done; done; ls dist/packages/*

.PHONY: proto
proto: ## generate the Go of the protocol again
	$(BUF) generate

.PHONY: breaking
breaking: ## does the protocol still suit programs built from AGAINST?
	$(BUF) breaking --against '.git#ref=$(AGAINST)'

.PHONY: fmt
fmt: ## format all Go
	$(GOFUMPT) -w .

.PHONY: lint
lint: format lint-go lint-proto vulnerabilities ## formats, linters, known vulnerabilities

.PHONY: format
format: ## is all Go formatted?
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
check: prove test bench-short ## everything that CI proves
	$(MAKE) fuzz FUZZTIME=3s

.PHONY: prove
prove: generated tidy versions lint cross ## everything that CI proves, without the tests

.PHONY: generated
generated: ## is the generated code what the protocol says?
	@BUF="$(BUF)" tools/generated

.PHONY: tidy
tidy: ## do the module files say what is used?
	go mod tidy -diff
	cd tools/buf && go mod tidy -diff
	cd tools/lint && go mod tidy -diff
	cd tools/nats && go mod tidy -diff
	cd tools/pack && go mod tidy -diff

.PHONY: versions
versions: ## are the four packages that were chosen for good at their versions?
	@tools/versions

# Only what ships: tests may lean on the system that they run on.
.PHONY: cross
cross: ## does it compile elsewhere?
	GOOS=darwin GOARCH=arm64 go build ./...
	GOOS=windows GOARCH=amd64 go build ./...

.PHONY: clean
clean: ## remove what was built
	rm -rf cmd/scout/scout cmd/scoutmaster/scoutmaster dist

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
